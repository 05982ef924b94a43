//! Parses a verity table as the kernel prints it back. Failing to parse means the table is not one we loaded.

use crate::table::sorted_options;
use crate::{
    DeviceNumber, HashTreeLayout, KeyDescription, ParamsError, Salt, TableError, VerityOption, VerityTable,
};

/// Longest line in bytes: with the longest salt and key description a table has less than 1200.
pub(crate) const MAX_TABLE_BYTES: usize = 4096;

impl VerityTable {
    /// Parses a whole line, with or without its line feed. Any other target, parameter or option than we set is an
    /// error.
    pub fn parse(line: &str) -> Result<Self, TableError> {
        let mut words = Words::new(line)?;
        words.fixed("start sector", "0")?;
        let sectors = words.number("length in sectors")?;
        words.fixed("target", Self::TARGET)?;
        Self::parse_words(sectors, words)
    }

    /// Parses the parameters of a target that maps `sectors` sectors, as the device-mapper ioctl gives them.
    pub fn parse_params(sectors: u64, params: &str) -> Result<Self, TableError> {
        Self::parse_words(sectors, Words::new(params)?)
    }

    fn parse_words(sectors: u64, mut words: Words<'_>) -> Result<Self, TableError> {
        words.fixed("version", "1")?;
        let data_device = words.next("data device")?.parse()?;
        let hash_device: DeviceNumber = words.next("hash device")?.parse()?;
        words.fixed("data block size", "4096")?;
        words.fixed("hash block size", "4096")?;
        let data_blocks = words.number("number of data blocks")?;
        HashTreeLayout::new(data_blocks).map_err(ParamsError::from)?;
        let hash_start_block = words.number("hash start block")?;
        words.fixed("algorithm", "sha256")?;
        let root_hash = words.next("root hash")?.parse()?;
        let salt = parse_salt(words.next("salt")?)?;
        let options = words.options()?;
        let table = Self {
            data_device,
            hash_device,
            data_blocks,
            hash_start_block,
            root_hash,
            salt,
            options,
        };
        if table.sectors() != sectors {
            return Err(TableError::Sectors {
                sectors,
                expected: table.sectors(),
            });
        }
        Ok(table)
    }
}

fn parse_salt(word: &str) -> Result<Salt, TableError> {
    let bytes = if word == "-" {
        Vec::new()
    } else {
        hex::decode(word).map_err(TableError::Salt)?
    };
    Ok(Salt::new(bytes)?)
}

struct Words<'a>(std::str::SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Result<Self, TableError> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if line.len() > MAX_TABLE_BYTES || line.contains('\n') {
            return Err(TableError::Line);
        }
        Ok(Self(line.split_ascii_whitespace()))
    }

    fn next(&mut self, field: &'static str) -> Result<&'a str, TableError> {
        self.0.next().ok_or(TableError::Missing { field })
    }

    fn number(&mut self, field: &'static str) -> Result<u64, TableError> {
        let word = self.next(field)?;
        let refused = || TableError::Number {
            field,
            found: word.to_owned(),
        };
        if !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        word.parse().map_err(|_| refused())
    }

    fn fixed(&mut self, field: &'static str, expected: &'static str) -> Result<(), TableError> {
        let found = self.next(field)?;
        if found == expected {
            return Ok(());
        }
        Err(TableError::Unsupported {
            field,
            found: found.to_owned(),
            expected,
        })
    }

    fn options(mut self) -> Result<Vec<VerityOption>, TableError> {
        if self.0.clone().next().is_none() {
            return Ok(Vec::new());
        }
        let count = self.number("number of option words")?;
        let found = self.0.clone().count();
        if found as u64 != count {
            return Err(TableError::OptionCount { count, found });
        }
        let mut options = Vec::new();
        while let Some(word) = self.0.next() {
            options.push(self.option(word)?);
        }
        sorted_options(options)
    }

    fn option(&mut self, word: &str) -> Result<VerityOption, TableError> {
        Ok(match word {
            "ignore_corruption" => VerityOption::DangerouslyIgnoreCorruption,
            "restart_on_corruption" => VerityOption::RestartOnCorruption,
            "panic_on_corruption" => VerityOption::PanicOnCorruption,
            "restart_on_error" => VerityOption::RestartOnError,
            "panic_on_error" => VerityOption::PanicOnError,
            "ignore_zero_blocks" => VerityOption::IgnoreZeroBlocks,
            "root_hash_sig_key_desc" => {
                VerityOption::RootHashSigKeyDesc(KeyDescription::new(self.next("key description")?)?)
            }
            found => {
                return Err(TableError::UnknownOption {
                    found: found.to_owned(),
                });
            }
        })
    }
}
