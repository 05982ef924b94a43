//! Loading modules with `init_module(2)`: from memory, not `finit_module(2)` from a file.
//!
//! The kernel checks the signature either way. Under Secure Boot its built-in IMA rule measures each module that comes
//! from a file into PCR 10 besides: a second hash and a TPM command a module, for bytes that the stub has measured
//! into PCR 11 with the whole initrd (ADR 0019).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::list::{ModuleList, ModuleName};
use crate::bounded;

/// Longest module file in bytes; the largest of Debian's has 12 MB.
const MODULE_LIMIT: usize = 64 << 20;

/// Why a module was not loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named as the texts show")]
pub enum LoadError {
    #[error("module {name} is not in the initrd's module list")]
    NotListed { name: String },
    #[error("parameters of module {name} hold a NUL byte")]
    NulInParameters { name: ModuleName },
    #[error("cannot open {path} of module {name}: {source}")]
    Open {
        name: ModuleName,
        path: PathBuf,
        source: io::Error,
    },
    #[error("kernel refused module {name}: {source}")]
    Insert { name: ModuleName, source: io::Error },
    #[error("module {wanted} not loaded: it needs {name}, which was refused before")]
    NeedRefused { wanted: ModuleName, name: ModuleName },
}

/// What a call to load a module came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These modules were inserted, in this order.
    Inserted(Vec<ModuleName>),
    /// The kernel or an earlier call had it already, with all that it needs.
    Present,
}

/// Hands one module to the kernel.
type Insert = dyn FnMut(&Path, &CStr) -> io::Result<()>;

/// Loads modules of a list and remembers what is in the kernel and what was refused, so that no file
/// is handed over twice.
pub struct Loader<'a> {
    list: &'a ModuleList,
    present: BTreeSet<ModuleName>,
    refused: BTreeSet<ModuleName>,
    insert: Box<Insert>,
}

impl<'a> Loader<'a> {
    /// A loader for this list into the running kernel.
    #[must_use]
    pub fn new(list: &'a ModuleList) -> Self {
        Self::with_insert(list, Box::new(insert_file))
    }

    fn with_insert(list: &'a ModuleList, insert: Box<Insert>) -> Self {
        Self {
            list,
            present: BTreeSet::new(),
            refused: BTreeSet::new(),
            insert,
        }
    }

    /// Loads a module by name after all that it needs. `parameters` are for this module alone, in the
    /// form of the kernel's command line (`key=value key=value`); modules in an initrd see nothing of
    /// the real command line. A module that is in the kernel already (EEXIST) counts as loaded, and
    /// then the parameters have no effect.
    ///
    /// # Errors
    /// [`LoadError`]; modules loaded before the failing one stay.
    pub fn load(&mut self, name: &str, parameters: &str) -> Result<Outcome, LoadError> {
        let not_listed = || LoadError::NotListed {
            name: name.chars().take(64).collect(),
        };
        let wanted = ModuleName::new(name).ok_or_else(not_listed)?;
        let order = self.list.load_order(&wanted).ok_or_else(not_listed)?;
        let parameters =
            CString::new(parameters).map_err(|_| LoadError::NulInParameters { name: wanted.clone() })?;
        let mut inserted = Vec::new();
        for module in order {
            let own = if *module == wanted {
                parameters.as_c_str()
            } else {
                c""
            };
            if self.load_one(&wanted, module, own)? {
                inserted.push(module.clone());
            }
        }
        Ok(if inserted.is_empty() {
            Outcome::Present
        } else {
            Outcome::Inserted(inserted)
        })
    }

    /// True if the module was inserted by this call.
    fn load_one(
        &mut self,
        wanted: &ModuleName,
        name: &ModuleName,
        parameters: &CStr,
    ) -> Result<bool, LoadError> {
        if self.present.contains(name) {
            return Ok(false);
        }
        if self.refused.contains(name) && name != wanted {
            return Err(LoadError::NeedRefused {
                wanted: wanted.clone(),
                name: name.clone(),
            });
        }
        let Some(module) = self.list.module(name) else {
            return Err(LoadError::NotListed {
                name: name.to_string(),
            });
        };
        let result = (self.insert)(&module.path, parameters);
        match result {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                self.present.insert(name.clone());
                return Ok(false);
            }
            Err(source) => {
                self.refused.insert(name.clone());
                return Err(
                    if source.get_ref().is_some_and(|inner| inner.is::<OpenFailed>()) {
                        LoadError::Open {
                            name: name.clone(),
                            path: module.path.clone(),
                            source,
                        }
                    } else {
                        LoadError::Insert {
                            name: name.clone(),
                            source,
                        }
                    },
                );
            }
        }
        self.present.insert(name.clone());
        self.refused.remove(name);
        Ok(true)
    }

    /// Loads what the given modaliases ask for. A module that fails stops only itself and what needs
    /// it; the map has one entry for each module that was asked for.
    pub fn load_for<'m>(
        &mut self,
        modaliases: impl IntoIterator<Item = &'m str>,
    ) -> BTreeMap<ModuleName, Result<Outcome, LoadError>> {
        let mut results = BTreeMap::new();
        let list = self.list;
        for name in modaliases
            .into_iter()
            .flat_map(|modalias| list.for_modalias(modalias))
        {
            if !results.contains_key(name) {
                results.insert(name.clone(), self.load(name.as_str(), ""));
            }
        }
        results
    }
}

/// Marks an I/O error as one of reading the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OpenFailed(#[source] bounded::ReadError);

fn insert_file(path: &Path, parameters: &CStr) -> io::Result<()> {
    let image = bounded::read(path, MODULE_LIMIT).map_err(|error| io::Error::other(OpenFailed(error)))?;
    rustix::system::init_module(&image, parameters).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    const LIST: &str = "bennu-modules-v1\n\
        dm-verity\t/m/dm-verity.ko\tdm_mod,dm_bufio\n\
        dm_bufio\t/m/dm-bufio.ko\tdm-mod\n\
        dm_mod\t/m/dm-mod.ko\t\n\
        virtio_blk\t/m/virtio_blk.ko\t\n\
        alias\tvirtio:d00000002v*\tvirtio_blk\n\
        alias\tvirtio:d*v*\tdm_verity\n";

    type Calls = Rc<RefCell<Vec<String>>>;

    fn loader<'a>(list: &'a ModuleList, errno: &'static [(&'static str, i32)]) -> (Loader<'a>, Calls) {
        let calls = Calls::default();
        let log = Rc::clone(&calls);
        let insert = Box::new(move |path: &Path, parameters: &CStr| {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            log.borrow_mut()
                .push(format!("{stem}({})", parameters.to_str().unwrap()));
            match errno.iter().find(|(name, _)| *name == stem) {
                Some((_, code)) => Err(io::Error::from_raw_os_error(*code)),
                None => Ok(()),
            }
        });
        (Loader::with_insert(list, insert), calls)
    }

    #[test]
    fn what_a_module_needs_is_loaded_first_and_once_and_parameters_go_to_it_alone() {
        let list = ModuleList::parse(LIST.as_bytes()).unwrap();
        let (mut loader, calls) = loader(&list, &[]);
        let outcome = loader.load("dm-verity", "require_signatures=1").unwrap();
        assert!(matches!(outcome, Outcome::Inserted(names) if names.len() == 3));
        assert_eq!(
            *calls.borrow(),
            ["dm-mod()", "dm-bufio()", "dm-verity(require_signatures=1)"]
        );
        assert_eq!(loader.load("dm_verity", "").unwrap(), Outcome::Present);
        assert_eq!(calls.borrow().len(), 3);
    }

    #[test]
    fn a_module_that_the_kernel_has_already_counts_as_loaded() {
        let list = ModuleList::parse(LIST.as_bytes()).unwrap();
        let (mut loader, _) = loader(&list, &[("dm-mod", libc::EEXIST)]);
        assert_eq!(loader.load("dm_mod", "").unwrap(), Outcome::Present);
        assert!(matches!(loader.load("dm_bufio", "").unwrap(), Outcome::Inserted(names) if names.len() == 1));
    }

    #[test]
    fn a_refused_module_stops_what_needs_it_and_nothing_else() {
        let list = ModuleList::parse(LIST.as_bytes()).unwrap();
        let (mut loader, calls) = loader(&list, &[("dm-bufio", libc::ENODEV)]);
        let error = loader.load("dm_verity", "").unwrap_err();
        assert!(matches!(error, LoadError::Insert { name, .. } if name.as_str() == "dm_bufio"));
        let error = loader.load("dm_verity", "").unwrap_err();
        assert!(matches!(error, LoadError::NeedRefused { .. }));
        assert!(loader.load("virtio_blk", "").is_ok());
        assert_eq!(*calls.borrow(), ["dm-mod()", "dm-bufio()", "virtio_blk()"]);
    }

    #[test]
    fn modaliases_load_every_module_that_matches() {
        let list = ModuleList::parse(LIST.as_bytes()).unwrap();
        let (mut loader, _) = loader(&list, &[("virtio_blk", libc::ENODEV)]);
        let results = loader.load_for(["virtio:d00000002v00001AF4", "virtio:d00000001v00001AF4", "pci:x"]);
        let names: Vec<_> = results
            .iter()
            .map(|(name, result)| (name.as_str(), result.is_ok()))
            .collect();
        assert_eq!(names, [("dm_verity", true), ("virtio_blk", false)]);
    }

    #[test]
    fn a_module_outside_the_list_is_refused_by_name() {
        let list = ModuleList::parse(LIST.as_bytes()).unwrap();
        let (mut loader, calls) = loader(&list, &[]);
        for name in ["evil", "../evil", ""] {
            assert!(matches!(loader.load(name, ""), Err(LoadError::NotListed { .. })));
        }
        assert!(matches!(
            loader.load("dm_mod", "a\0"),
            Err(LoadError::NulInParameters { .. })
        ));
        assert!(calls.borrow().is_empty());
    }

    #[test]
    fn a_missing_file_is_told_from_a_refusal_of_the_kernel() {
        let list = ModuleList::parse(b"bennu-modules-v1\nx\t/nowhere/x.ko\t\n").unwrap();
        let error = Loader::new(&list).load("x", "").unwrap_err();
        assert!(matches!(error, LoadError::Open { .. }), "{error}");
    }
}
