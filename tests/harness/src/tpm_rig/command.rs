//! Names of TPM commands and response codes, and the few commands that a rig sends itself.
//!
//! Source: TPM 2.0 Library, Part 2 (Structures), revision 1.59: 6.5.2 `TPM_CC`, 6.6.3 `TPM_RC`. The names are
//! checked against `tpm2_getcap commands` and `tpm2_rc_decode` by the tests.

use std::fmt;

use crate::tpm::PcrBank;

/// Bytes of each command's and response's header: tag 2, size 4, code 4, all big-endian (Part 1, 18).
pub(crate) const HEADER: usize = 10;
/// `TPM_ST_NO_SESSIONS` (Part 2, 6.9).
pub(crate) const NO_SESSIONS: u16 = 0x8001;
/// `TPM_ST_SESSIONS`.
pub(crate) const SESSIONS: u16 = 0x8002;
/// `TPM_RS_PW`: authorisation by password (Part 2, 7.4).
const PASSWORD: u32 = 0x4000_0009;

/// A command code, `TPM_CC`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TpmCommand(pub u32);

macro_rules! commands {
    ($($constant:ident $code:literal $name:literal,)*) => {
        #[allow(missing_docs, reason = "the specification's names")]
        impl TpmCommand {
            $(pub const $constant: Self = Self($code);)*
            /// All commands that have a name here, in the order of their codes.
            pub const NAMED: &'static [(Self, &'static str)] = &[$((Self::$constant, $name),)*];
        }
    };
}

commands! {
    NV_UNDEFINE_SPACE_SPECIAL 0x11F "TPM2_NV_UndefineSpaceSpecial",
    EVICT_CONTROL 0x120 "TPM2_EvictControl",
    HIERARCHY_CONTROL 0x121 "TPM2_HierarchyControl",
    NV_UNDEFINE_SPACE 0x122 "TPM2_NV_UndefineSpace",
    CHANGE_EPS 0x124 "TPM2_ChangeEPS",
    CHANGE_PPS 0x125 "TPM2_ChangePPS",
    CLEAR 0x126 "TPM2_Clear",
    CLEAR_CONTROL 0x127 "TPM2_ClearControl",
    CLOCK_SET 0x128 "TPM2_ClockSet",
    HIERARCHY_CHANGE_AUTH 0x129 "TPM2_HierarchyChangeAuth",
    NV_DEFINE_SPACE 0x12A "TPM2_NV_DefineSpace",
    PCR_ALLOCATE 0x12B "TPM2_PCR_Allocate",
    SET_PRIMARY_POLICY 0x12E "TPM2_SetPrimaryPolicy",
    CREATE_PRIMARY 0x131 "TPM2_CreatePrimary",
    NV_GLOBAL_WRITE_LOCK 0x132 "TPM2_NV_GlobalWriteLock",
    NV_INCREMENT 0x134 "TPM2_NV_Increment",
    NV_SET_BITS 0x135 "TPM2_NV_SetBits",
    NV_EXTEND 0x136 "TPM2_NV_Extend",
    NV_WRITE 0x137 "TPM2_NV_Write",
    NV_WRITE_LOCK 0x138 "TPM2_NV_WriteLock",
    DICTIONARY_ATTACK_LOCK_RESET 0x139 "TPM2_DictionaryAttackLockReset",
    DICTIONARY_ATTACK_PARAMETERS 0x13A "TPM2_DictionaryAttackParameters",
    NV_CHANGE_AUTH 0x13B "TPM2_NV_ChangeAuth",
    PCR_EVENT 0x13C "TPM2_PCR_Event",
    PCR_RESET 0x13D "TPM2_PCR_Reset",
    SEQUENCE_COMPLETE 0x13E "TPM2_SequenceComplete",
    INCREMENTAL_SELF_TEST 0x142 "TPM2_IncrementalSelfTest",
    SELF_TEST 0x143 "TPM2_SelfTest",
    STARTUP 0x144 "TPM2_Startup",
    SHUTDOWN 0x145 "TPM2_Shutdown",
    STIR_RANDOM 0x146 "TPM2_StirRandom",
    ACTIVATE_CREDENTIAL 0x147 "TPM2_ActivateCredential",
    CERTIFY 0x148 "TPM2_Certify",
    POLICY_NV 0x149 "TPM2_PolicyNV",
    CERTIFY_CREATION 0x14A "TPM2_CertifyCreation",
    DUPLICATE 0x14B "TPM2_Duplicate",
    GET_TIME 0x14C "TPM2_GetTime",
    NV_READ 0x14E "TPM2_NV_Read",
    NV_READ_LOCK 0x14F "TPM2_NV_ReadLock",
    OBJECT_CHANGE_AUTH 0x150 "TPM2_ObjectChangeAuth",
    POLICY_SECRET 0x151 "TPM2_PolicySecret",
    CREATE 0x153 "TPM2_Create",
    ECDH_ZGEN 0x154 "TPM2_ECDH_ZGen",
    IMPORT 0x156 "TPM2_Import",
    LOAD 0x157 "TPM2_Load",
    QUOTE 0x158 "TPM2_Quote",
    HMAC_START 0x15B "TPM2_HMAC_Start",
    SEQUENCE_UPDATE 0x15C "TPM2_SequenceUpdate",
    SIGN 0x15D "TPM2_Sign",
    UNSEAL 0x15E "TPM2_Unseal",
    POLICY_SIGNED 0x160 "TPM2_PolicySigned",
    CONTEXT_LOAD 0x161 "TPM2_ContextLoad",
    CONTEXT_SAVE 0x162 "TPM2_ContextSave",
    FLUSH_CONTEXT 0x165 "TPM2_FlushContext",
    LOAD_EXTERNAL 0x167 "TPM2_LoadExternal",
    NV_READ_PUBLIC 0x169 "TPM2_NV_ReadPublic",
    POLICY_AUTHORIZE 0x16A "TPM2_PolicyAuthorize",
    POLICY_AUTH_VALUE 0x16B "TPM2_PolicyAuthValue",
    POLICY_COMMAND_CODE 0x16C "TPM2_PolicyCommandCode",
    POLICY_OR 0x171 "TPM2_PolicyOR",
    READ_PUBLIC 0x173 "TPM2_ReadPublic",
    START_AUTH_SESSION 0x176 "TPM2_StartAuthSession",
    VERIFY_SIGNATURE 0x177 "TPM2_VerifySignature",
    ECC_PARAMETERS 0x178 "TPM2_ECC_Parameters",
    GET_CAPABILITY 0x17A "TPM2_GetCapability",
    GET_RANDOM 0x17B "TPM2_GetRandom",
    GET_TEST_RESULT 0x17C "TPM2_GetTestResult",
    HASH 0x17D "TPM2_Hash",
    PCR_READ 0x17E "TPM2_PCR_Read",
    POLICY_PCR 0x17F "TPM2_PolicyPCR",
    POLICY_RESTART 0x180 "TPM2_PolicyRestart",
    READ_CLOCK 0x181 "TPM2_ReadClock",
    PCR_EXTEND 0x182 "TPM2_PCR_Extend",
    NV_CERTIFY 0x184 "TPM2_NV_Certify",
    EVENT_SEQUENCE_COMPLETE 0x185 "TPM2_EventSequenceComplete",
    HASH_SEQUENCE_START 0x186 "TPM2_HashSequenceStart",
    POLICY_GET_DIGEST 0x189 "TPM2_PolicyGetDigest",
    TEST_PARMS 0x18A "TPM2_TestParms",
    POLICY_PASSWORD 0x18C "TPM2_PolicyPassword",
    POLICY_NV_WRITTEN 0x18F "TPM2_PolicyNvWritten",
    POLICY_TEMPLATE 0x190 "TPM2_PolicyTemplate",
    CREATE_LOADED 0x191 "TPM2_CreateLoaded",
    POLICY_AUTHORIZE_NV 0x192 "TPM2_PolicyAuthorizeNV",
}

impl TpmCommand {
    /// The command code in a request; `None` if that is shorter than a header.
    #[must_use]
    pub fn of(request: &[u8]) -> Option<Self> {
        code(request).map(Self)
    }
}

impl fmt::Display for TpmCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.binary_search_by_key(self, |(command, _)| *command) {
            Ok(found) => f.write_str(Self::NAMED[found].1),
            Err(_) => write!(f, "TPM_CC 0x{:X}", self.0),
        }
    }
}

impl fmt::Debug for TpmCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A response code, `TPM_RC`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseCode(pub u32);

impl ResponseCode {
    /// `TPM_RC_SUCCESS`.
    pub const SUCCESS: Self = Self(0);
    /// `TPM_RC_INITIALIZE`: no TPM2_Startup yet, or one too many.
    pub const INITIALIZE: Self = Self(0x100);
    /// `TPM_RC_FAILURE`: the TPM is in failure mode.
    pub const FAILURE: Self = Self(0x101);
    /// `TPM_RC_PCR_CHANGED`: a PCR was extended after the session's TPM2_PolicyPCR.
    pub const PCR_CHANGED: Self = Self(0x128);
    /// `TPM_RC_NV_LOCKED`.
    pub const NV_LOCKED: Self = Self(0x148);
    /// `TPM_RC_NV_SPACE`: no room for the index.
    pub const NV_SPACE: Self = Self(0x14B);
    /// `TPM_RC_NV_DEFINED`: the NV index or persistent handle is in use already.
    pub const NV_DEFINED: Self = Self(0x14C);
    /// `TPM_RC_POLICY_FAIL` of session 1.
    pub const POLICY_FAIL: Self = Self(0x99D);
    /// `TPM_RC_OBJECT_MEMORY`: no slot for a transient object; a warning.
    pub const OBJECT_MEMORY: Self = Self(0x902);
    /// `TPM_RC_SESSION_MEMORY`: no slot for a session; a warning.
    pub const SESSION_MEMORY: Self = Self(0x903);
    /// `TPM_RC_TESTING`: the TPM tests itself; a warning.
    pub const TESTING: Self = Self(0x90A);
    /// `TPM_RC_LOCKOUT`: the dictionary-attack protection refuses authorisations; a warning.
    pub const LOCKOUT: Self = Self(0x921);
    /// `TPM_RC_RETRY`: send it again; a warning. Linux does so itself.
    pub const RETRY: Self = Self(0x922);
    /// `TPM_RC_NV_UNAVAILABLE`: NV cannot be written now; a warning.
    pub const NV_UNAVAILABLE: Self = Self(0x923);

    /// The response code in a response; `None` if that is shorter than a header.
    #[must_use]
    pub fn of(response: &[u8]) -> Option<Self> {
        code(response).map(Self)
    }

    /// The whole response that says no more than this code.
    #[must_use]
    pub fn response(self) -> Vec<u8> {
        message(NO_SESSIONS, self.0, &[])
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:03X}", self.0)
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `TPM2_PCR_Extend` of one PCR in one bank, authorised by the empty password.
///
/// `digest` must be as long as the bank's: the TPM refuses another length, and then the fault did not strike.
#[must_use]
pub fn pcr_extend(pcr: u32, bank: PcrBank, digest: &[u8]) -> Vec<u8> {
    let mut body = pcr.to_be_bytes().to_vec();
    body.extend(9_u32.to_be_bytes());
    body.extend(PASSWORD.to_be_bytes());
    // Empty nonce, no attributes, empty password; then a list of one digest.
    body.extend([0, 0, 0, 0, 0]);
    body.extend(1_u32.to_be_bytes());
    body.extend(bank.algorithm_id().to_be_bytes());
    body.extend(digest);
    message(SESSIONS, TpmCommand::PCR_EXTEND.0, &body)
}

/// A header before `body`. What a rig sends is far below 4 GiB, so the size is exact.
pub(crate) fn message(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = tag.to_be_bytes().to_vec();
    bytes.extend(size.to_be_bytes());
    bytes.extend(code.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn code(bytes: &[u8]) -> Option<u32> {
    let code = bytes.get(6..HEADER)?.try_into().ok()?;
    Some(u32::from_be_bytes(code))
}
