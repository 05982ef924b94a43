//! What a factory reset does on the ESP.
//!
//! Nothing is removed: a power cut of long ago may have left two names of one file, and removing both would free its
//! clusters twice. Files are overwritten with zeros where they lie, which also takes their content from the medium
//! as far as a file system can; a file of zeros counts as none.

use crate::files;
use crate::volume::Mounted;
use crate::{Esp, EspError, MAX_SEALED_BYTES};
use bennu_formats::factory_reset::REQUEST_BYTES;
use bennu_formats::paths;
use std::path::PathBuf;

impl Esp {
    /// Names of the sealed secrets, sorted, blank ones included.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn sealed_secrets(&self) -> Result<Vec<String>, EspError> {
        let names = files::list(&self.root().join(paths::ESP_SECRETS_DIRECTORY))?;
        let mut found: Vec<String> = names
            .iter()
            .filter_map(|name| name.strip_suffix(paths::SEALED_SUFFIX))
            .map(str::to_owned)
            .collect();
        found.sort();
        Ok(found)
    }

    /// Zeros over every sealed secret and what earlier writes left beside it; gives how many files there were. Of a
    /// file that is longer than any of ours the first [`MAX_SEALED_BYTES`].
    ///
    /// # Errors
    /// Listing or writing failed; some may be blank.
    pub fn blank_sealed_secrets(&self) -> Result<usize, EspError> {
        let directory = self.root().join(paths::ESP_SECRETS_DIRECTORY);
        let ours = |name: &&String| name.ends_with(paths::SEALED_SUFFIX) || name.ends_with(".new");
        let names = files::list(&directory)?;
        let mut blanked = 0;
        for name in names.iter().filter(ours) {
            files::blank(&Mounted, &directory.join(name), MAX_SEALED_BYTES)?;
            blanked += 1;
        }
        Ok(blanked)
    }

    /// The wish for a factory reset as it lies there: at most one byte more than it may have; `None` without a file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn reset_request(&self) -> Result<Option<Vec<u8>>, EspError> {
        files::read(&Mounted, &self.request_path(), REQUEST_BYTES + 1)
    }

    /// Writes the wish and flushes. A power cut may leave half of it, which counts for nothing.
    ///
    /// # Errors
    /// Writing failed.
    pub fn write_reset_request(&self, request: &[u8; REQUEST_BYTES]) -> Result<(), EspError> {
        files::write(&Mounted, &self.request_path(), request)
    }

    /// Zeros over the wish.
    ///
    /// # Errors
    /// Writing failed.
    pub fn blank_reset_request(&self) -> Result<(), EspError> {
        files::blank(&Mounted, &self.request_path(), MAX_SEALED_BYTES)
    }

    fn request_path(&self) -> PathBuf {
        self.root().join(paths::ESP_FACTORY_RESET)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Esp, FoundSecret};
    use bennu_formats::factory_reset::REQUEST_BYTES;

    #[test]
    fn blank_secrets_count_as_none_and_are_written_anew_where_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let esp = Esp::at(dir.path());
        esp.write_sealed_secret("machine", b"sealed bytes").unwrap();
        esp.write_sealed_secret("tpm.owner", b"others").unwrap();
        let secrets = dir.path().join("bennu/secrets");
        std::fs::write(secrets.join("machine.new"), b"what a cut left").unwrap();
        std::fs::write(secrets.join("README.TXT"), b"words").unwrap();
        assert_eq!(esp.sealed_secrets().unwrap(), ["machine", "tpm.owner"]);

        assert_eq!(esp.blank_sealed_secrets().unwrap(), 3);
        assert_eq!(esp.sealed_secret("machine").unwrap(), FoundSecret::Undone);
        assert_eq!(esp.sealed_secret("tpm.owner").unwrap(), FoundSecret::Undone);
        assert_eq!(std::fs::read(secrets.join("machine.sealed")).unwrap(), [0; 12]);
        assert_eq!(std::fs::read(secrets.join("machine.new")).unwrap(), [0; 15]);
        assert_eq!(std::fs::read(secrets.join("README.TXT")).unwrap(), b"words");

        esp.write_sealed_secret("machine", b"other sealed").unwrap();
        let found = esp.sealed_secret("machine").unwrap();
        assert_eq!(found, FoundSecret::Sealed(b"other sealed".to_vec()));
        // In place: the name beside it was not touched.
        assert_eq!(std::fs::read(secrets.join("machine.new")).unwrap(), [0; 15]);
    }

    #[test]
    fn a_wish_is_written_read_and_blanked() {
        let dir = tempfile::tempdir().unwrap();
        let esp = Esp::at(dir.path());
        assert_eq!(esp.reset_request().unwrap(), None);
        esp.blank_reset_request().unwrap();
        assert_eq!(esp.reset_request().unwrap(), None, "none is made");
        esp.write_reset_request(&[7; REQUEST_BYTES]).unwrap();
        assert_eq!(esp.reset_request().unwrap(), Some(vec![7; REQUEST_BYTES]));
        esp.blank_reset_request().unwrap();
        assert_eq!(esp.reset_request().unwrap(), Some(vec![0; REQUEST_BYTES]));
        std::fs::write(dir.path().join("bennu/factory-reset.request"), [1; 9000]).unwrap();
        assert_eq!(esp.reset_request().unwrap().unwrap().len(), REQUEST_BYTES + 1);
    }
}
