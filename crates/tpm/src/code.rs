//! Numbers of TPM 2.0 Part 2 (revision 1.59) that this client uses, and response codes with their meaning.

use std::fmt;

/// Command codes (Part 2, 6.5.2).
pub(crate) mod cc {
    pub(crate) const EVICT_CONTROL: u32 = 0x120;
    pub(crate) const NV_UNDEFINE_SPACE: u32 = 0x122;
    pub(crate) const CLEAR: u32 = 0x126;
    pub(crate) const HIERARCHY_CHANGE_AUTH: u32 = 0x129;
    pub(crate) const NV_DEFINE_SPACE: u32 = 0x12A;
    pub(crate) const CREATE_PRIMARY: u32 = 0x131;
    pub(crate) const NV_WRITE: u32 = 0x137;
    pub(crate) const STARTUP: u32 = 0x144;
    pub(crate) const NV_READ: u32 = 0x14E;
    pub(crate) const POLICY_NV: u32 = 0x149;
    pub(crate) const CREATE: u32 = 0x153;
    pub(crate) const LOAD: u32 = 0x157;
    pub(crate) const QUOTE: u32 = 0x158;
    pub(crate) const UNSEAL: u32 = 0x15E;
    pub(crate) const FLUSH_CONTEXT: u32 = 0x165;
    pub(crate) const LOAD_EXTERNAL: u32 = 0x167;
    pub(crate) const NV_READ_PUBLIC: u32 = 0x169;
    pub(crate) const POLICY_AUTHORIZE: u32 = 0x16A;
    pub(crate) const POLICY_AUTH_VALUE: u32 = 0x16B;
    pub(crate) const POLICY_OR: u32 = 0x171;
    pub(crate) const READ_PUBLIC: u32 = 0x173;
    pub(crate) const START_AUTH_SESSION: u32 = 0x176;
    pub(crate) const VERIFY_SIGNATURE: u32 = 0x177;
    pub(crate) const GET_CAPABILITY: u32 = 0x17A;
    pub(crate) const GET_RANDOM: u32 = 0x17B;
    pub(crate) const PCR_READ: u32 = 0x17E;
    pub(crate) const POLICY_PCR: u32 = 0x17F;
    pub(crate) const DICTIONARY_ATTACK_LOCK_RESET: u32 = 0x139;
    pub(crate) const DICTIONARY_ATTACK_PARAMETERS: u32 = 0x13A;
    pub(crate) const READ_CLOCK: u32 = 0x181;
    pub(crate) const PCR_EXTEND: u32 = 0x182;
    pub(crate) const POLICY_GET_DIGEST: u32 = 0x189;
    pub(crate) const POLICY_NV_WRITTEN: u32 = 0x18F;
}

/// Algorithm identifiers (Part 2, 6.3).
pub(crate) mod alg {
    pub(crate) const RSA: u16 = 0x0001;
    pub(crate) const SHA1: u16 = 0x0004;
    pub(crate) const AES: u16 = 0x0006;
    pub(crate) const KEYEDHASH: u16 = 0x0008;
    pub(crate) const SHA256: u16 = 0x000B;
    pub(crate) const SHA384: u16 = 0x000C;
    pub(crate) const SHA512: u16 = 0x000D;
    pub(crate) const NULL: u16 = 0x0010;
    pub(crate) const RSASSA: u16 = 0x0014;
    pub(crate) const ECDSA: u16 = 0x0018;
    pub(crate) const ECC: u16 = 0x0023;
    pub(crate) const CFB: u16 = 0x0043;
}

/// Structure tags (Part 2, 6.9).
pub(crate) mod st {
    pub(crate) const NO_SESSIONS: u16 = 0x8001;
    pub(crate) const SESSIONS: u16 = 0x8002;
    pub(crate) const VERIFIED: u16 = 0x8022;
}

/// Permanent handles (Part 2, 7.4).
pub(crate) mod rh {
    pub(crate) const OWNER: u32 = 0x4000_0001;
    pub(crate) const NULL: u32 = 0x4000_0007;
    pub(crate) const PASSWORD: u32 = 0x4000_0009;
    pub(crate) const LOCKOUT: u32 = 0x4000_000A;
    pub(crate) const ENDORSEMENT: u32 = 0x4000_000B;
}

/// TPM_ECC_NIST_P256 (Part 2, 6.4).
pub(crate) const ECC_NIST_P256: u16 = 0x0003;

/// A non-zero TPM_RC (Part 2, 6.6), as the TPM or the kernel's resource manager returned it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseCode(pub u32);

impl ResponseCode {
    /// TPM_RC_INITIALIZE: no TPM2_Startup yet.
    pub const INITIALIZE: Self = Self(0x100);
    /// TPM_RC_FAILURE: the TPM is in failure mode.
    pub const FAILURE: Self = Self(0x101);
    /// TPM_RC_POLICY: a policy condition does not hold (PolicyNV comparison).
    pub const POLICY: Self = Self(0x126);
    /// TPM_RC_PCR_CHANGED: a PCR was extended after PolicyPCR.
    pub const PCR_CHANGED: Self = Self(0x128);
    /// TPM_RC_NV_UNINITIALIZED: an NV index was never written.
    pub const NV_UNINITIALIZED: Self = Self(0x14A);
    /// TPM_RC_NV_DEFINED: an NV index or persistent object is there already.
    pub const NV_DEFINED: Self = Self(0x14C);
    /// TPM_RC_VALUE (format one).
    pub const VALUE: Self = Self(0x084);
    /// TPM_RC_HANDLE (format one).
    pub const HANDLE: Self = Self(0x08B);
    /// TPM_RC_AUTH_FAIL (format one).
    pub const AUTH_FAIL: Self = Self(0x08E);
    /// TPM_RC_SIGNATURE (format one).
    pub const SIGNATURE: Self = Self(0x09B);
    /// TPM_RC_POLICY_FAIL (format one).
    pub const POLICY_FAIL: Self = Self(0x09D);
    /// TPM_RC_INTEGRITY (format one): an object was made by another TPM or another parent, or was changed.
    pub const INTEGRITY: Self = Self(0x09F);
    /// TPM_RC_BAD_AUTH (format one).
    pub const BAD_AUTH: Self = Self(0x0A2);
    /// TPM_RC_YIELDED: send again.
    pub const YIELDED: Self = Self(0x908);
    /// TPM_RC_TESTING: send again.
    pub const TESTING: Self = Self(0x90A);
    /// TPM_RC_LOCKOUT: authorisations are refused for now (dictionary attack protection).
    pub const LOCKOUT: Self = Self(0x921);
    /// TPM_RC_RETRY: send again.
    pub const RETRY: Self = Self(0x922);

    /// Whether the code speaks of a handle, parameter or session of the command (Part 2, 6.6.2: bit 7).
    #[must_use]
    pub const fn is_format_one(self) -> bool {
        self.0 & 0x80 != 0 && self.0 < 0x1000
    }

    /// The code without the number of the parameter, handle or session it speaks of.
    #[must_use]
    pub const fn base(self) -> Self {
        // Its number and P fields are bits 8-11 and 6.
        if self.is_format_one() {
            Self(self.0 & 0xBF)
        } else {
            self
        }
    }

    /// Whether the same command bytes have to be sent again.
    #[must_use]
    pub const fn asks_to_resend(self) -> bool {
        matches!(self, Self::RETRY | Self::YIELDED | Self::TESTING)
    }

    const fn meaning(self) -> &'static str {
        match self.base() {
            Self::INITIALIZE => "not started up",
            Self::FAILURE => "failure mode",
            Self::POLICY => "policy condition does not hold",
            Self::PCR_CHANGED => "a pcr changed after it was checked",
            Self::NV_UNINITIALIZED => "nv index was never written",
            Self::NV_DEFINED => "already defined",
            Self::VALUE => "value out of range or wrong",
            Self::HANDLE => "no such handle",
            Self::AUTH_FAIL => "wrong authorisation, counted by the lockout",
            Self::SIGNATURE => "signature is not valid",
            Self::POLICY_FAIL => "policy digest differs",
            Self::INTEGRITY => "object is not of this tpm or was changed",
            Self::BAD_AUTH => "wrong authorisation",
            Self::YIELDED | Self::TESTING | Self::RETRY => "busy",
            Self::LOCKOUT => "locked out",
            _ => "see TPM 2.0 part 2, 6.6",
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#05x} ({})", self.0, self.meaning())
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_parameter_or_session_is_not_part_of_the_base() {
        assert_eq!(ResponseCode(0x1DF).base(), ResponseCode::INTEGRITY);
        assert_eq!(ResponseCode(0x99D).base(), ResponseCode::POLICY_FAIL);
        assert_eq!(ResponseCode(0x2DB).base(), ResponseCode::SIGNATURE);
        assert_eq!(ResponseCode(0x128).base(), ResponseCode::PCR_CHANGED);
        assert_eq!(ResponseCode(0x921).base(), ResponseCode::LOCKOUT);
    }
}
