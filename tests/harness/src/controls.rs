//! What somebody at the machine can press.

use serde_json::json;

use crate::power_on::PowerOn;
use crate::qmp::QmpError;

impl PowerOn<'_> {
    /// Presses the reset button: with [`crate::machine::Resets::EndPowerOn`] the machine ends.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn system_reset(&mut self) -> Result<(), QmpError> {
        self.qmp.execute("system_reset").map(drop)
    }

    /// Presses the power button: the guest's system is asked to shut down.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn press_power_button(&mut self) -> Result<(), QmpError> {
        self.qmp.execute("system_powerdown").map(drop)
    }

    /// Presses keys of the keyboard together, by QEMU's names (`qapi/ui.json`, `QKeyCode`), and lets them go.
    ///
    /// # Errors
    /// [`QmpError`], a name that QEMU does not know among them.
    pub fn press_keys(&mut self, names: &[&str]) -> Result<(), QmpError> {
        let keys: Vec<_> = names
            .iter()
            .map(|name| json!({ "type": "qcode", "data": name }))
            .collect();
        self.qmp
            .execute_with("send-key", json!({ "keys": keys }))
            .map(drop)
    }

    /// Sends a break on the serial line: with a letter after it, the kernel's SysRq.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn send_break(&mut self) -> Result<(), QmpError> {
        self.qmp
            .execute_with("chardev-send-break", json!({ "id": "console" }))
            .map(drop)
    }
}
