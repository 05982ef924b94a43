//! The same for bytes and signers that nobody thought of.

use crate::slot::{Slot, key, manifest, public};
use bennu_policy::verify::SlotRefusal;
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_bytes_make_the_verifier_panic_or_say_yes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Slot::sound().verify_bytes(&bytes).is_err());
    }

    #[test]
    fn no_changed_byte_of_the_partition_yields_another_manifest(position in any::<prop::sample::Index>(), to in any::<u8>()) {
        let slot = Slot::sound();
        let mut bytes = slot.partition();
        let position = position.index(bytes.len());
        bytes[position] = to;
        if let Ok(verified) = slot.verify_bytes(&bytes) {
            prop_assert_eq!(verified.get(), &manifest());
        }
    }

    #[test]
    fn signatures_count_as_the_number_of_different_trusted_signers(
        trusted in proptest::collection::vec(0u8..6, 1..6),
        signers in proptest::collection::vec(0u8..6, 1..8),
        threshold in 1u32..6,
    ) {
        let keys: Vec<_> = signers.iter().map(|n| key(*n)).collect();
        let mut slot = Slot::sound().threshold(threshold).signed_by(&keys.iter().collect::<Vec<_>>());
        slot.trusted = trusted.iter().map(|n| public(&key(*n))).collect();
        let expected = (0u8..6).filter(|n| trusted.contains(n) && signers.contains(n)).count();
        match slot.verify() {
            Ok(verified) => {
                prop_assert_eq!(verified.signed_by().len(), expected);
                prop_assert!(expected >= threshold as usize);
            }
            Err(SlotRefusal::Signatures { good, .. }) => {
                prop_assert_eq!(good, expected);
                prop_assert!(expected < threshold as usize);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
