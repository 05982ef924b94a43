//! Whether a factory reset is begun, gone on with, or not done; and the order of its acts.
//!
//! A wish lies on the ESP, where anybody with the disk can put one: it counts only with a MAC under a key that comes
//! out of the TPM, and while the TPM still has the authorisations that the key comes from. Once the TPM is cleared
//! there is nothing left to protect, and the reset is finished whatever the disk says. What must outlive it is the
//! anti-rollback floor: until it stands in the TPM again it is kept in a variable of the firmware, which whoever has
//! only the disk does not write. Normative text: `docs/spec/factory-reset.md`.

mod screen;

pub use screen::{ScreenReset, ScreenResetFacts, at_the_screen};

use bennu_formats::factory_reset::{KEY_BYTES, NONCE_BYTES, ResetRequest};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What is known after `enter-initrd`, before the floor is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetFacts {
    /// The wish on the ESP.
    pub wish: Wish,
    /// The floor in the firmware's variable: a reset was begun.
    pub kept_floor: Option<u64>,
    /// The TPM has a lockout authorisation: it is provisioned and was not cleared since.
    pub owned: bool,
    /// The floor in the TPM.
    pub floor: Option<u64>,
}

/// The wish on the ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// None.
    None,
    /// One that does not count: another key, or not decodable.
    Planted,
    /// One that both confirmations were given for on this machine.
    Authentic,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetDecision {
    /// No reset: an ordinary start.
    None {
        /// There is a variable that belongs to no reset: it is deleted.
        forget_floor: bool,
        /// There is a wish that does not count: it is taken away, and that is said.
        forget_wish: bool,
    },
    /// From the first act on.
    Begin {
        /// The floor to keep.
        floor: u64,
    },
    /// The TPM is cleared: go on behind that.
    Finish {
        /// The floor to set up again.
        floor: u64,
    },
}

/// An act; a power cut may come between any two. Each is repeated harmlessly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The floor goes into the firmware's variable.
    KeepFloor,
    /// TPM2_Clear: a new storage seed, no NV indices, no authorisations.
    ClearTpm,
    /// The floor's index, at its old value.
    SetUpFloor,
    /// Every old sealed file is given to the TPM, which must refuse it.
    ShowDead,
    /// Zeros over the header and keyslots of the state volume.
    EraseHeader,
    /// Zeros over the sealed files.
    BlankSecrets,
    /// Zeros over the wish.
    ForgetWish,
    /// The variable is deleted: the reset is done.
    ForgetFloor,
}

/// A reset from the beginning.
const BEGUN: &[Act] = &[
    Act::KeepFloor,
    Act::ClearTpm,
    Act::SetUpFloor,
    Act::ShowDead,
    Act::EraseHeader,
    Act::BlankSecrets,
    Act::ForgetWish,
    Act::ForgetFloor,
];

impl ResetDecision {
    /// The acts, in their order.
    pub fn acts(self) -> &'static [Act] {
        match self {
            Self::None {
                forget_floor,
                forget_wish,
            } => match (forget_wish, forget_floor) {
                (false, false) => &[],
                (true, false) => &[Act::ForgetWish],
                (false, true) => &[Act::ForgetFloor],
                (true, true) => &[Act::ForgetWish, Act::ForgetFloor],
            },
            Self::Begin { .. } => BEGUN,
            Self::Finish { .. } => &BEGUN[2..],
        }
    }
}

/// Decides.
pub fn decide(facts: &ResetFacts) -> ResetDecision {
    match (facts.owned, facts.kept_floor, facts.wish, facts.floor) {
        // Nothing but a reset leaves a variable and a TPM without authorisations; provisioning comes behind it.
        (false, Some(kept), _, floor) => ResetDecision::Finish {
            floor: kept.max(floor.unwrap_or(0)),
        },
        (true, _, Wish::Authentic, Some(floor)) => ResetDecision::Begin { floor },
        // A machine without a floor or without authorisations has its own refusals, or nothing to reset.
        (true, kept, wish, _) | (false, kept @ None, wish, _) => ResetDecision::None {
            forget_floor: kept.is_some(),
            forget_wish: wish == Wish::Planted,
        },
    }
}

/// The MAC of a wish.
pub fn seal_wish(key: &[u8; KEY_BYTES], nonce: [u8; NONCE_BYTES]) -> ResetRequest {
    let mac = keyed(key, &nonce).finalize().into_bytes().into();
    ResetRequest { nonce, mac }
}

/// Whether a wish was made with `key`; in constant time.
pub fn is_authentic(key: &[u8; KEY_BYTES], request: &ResetRequest) -> bool {
    keyed(key, &request.nonce).verify_slice(&request.mac).is_ok()
}

fn keyed(key: &[u8; KEY_BYTES], nonce: &[u8; NONCE_BYTES]) -> Hmac<Sha256> {
    // A block of SHA-256 is longer than the key: padded with zeros, as RFC 2104 §2 does.
    let mut block = [0; 64];
    block[..KEY_BYTES].copy_from_slice(key);
    Hmac::<Sha256>::new(&block.into()).chain_update(ResetRequest::head(nonce))
}

#[cfg(test)]
mod tests;
