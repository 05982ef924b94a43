//! Taking the key from a crypt device that is in use.

use super::{Access, DeviceMapper, DmError, Name, SuspendMode, TableLine};

impl DeviceMapper {
    /// Takes the key from a live crypt device and puts the target `error` in its place: requests under way and later
    /// ones fail, and nothing waits for the file system on it. The key is gone even where a later step fails.
    ///
    /// Order of the kernel's interface (Documentation/admin-guide/device-mapper/dm-crypt.rst): `key wipe` is taken by a
    /// suspended device only, and a device without a key cannot be resumed with its old table.
    ///
    /// # Errors
    /// The failing act's variant.
    pub fn wipe_key(&self, name: &Name) -> Result<(), DmError> {
        let length = self.table(name)?.length_sectors512();
        let dead = TableLine::new(length, "error", "")?;
        self.suspend(name, SuspendMode::Immediately)?;
        self.message(name, "key wipe")?;
        self.load(name, &dead, Access::ReadWrite)?;
        self.resume(name)
    }
}
