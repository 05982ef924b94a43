//! The swapped storage key, judged by the TPM itself.

use super::*;

/// Creates an ECC P-256 storage key; gives its handle, public area and name, as the guest sees them.
fn storage_key(rig: &mut Rig) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut body = 0x4000_0001_u32.to_be_bytes().to_vec();
    // Empty password, empty sensitive area.
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    let public = [
        0x00, 0x23, 0x00, 0x0B, 0x00, 0x03, 0x04, 0x72, 0, 0, 0x00, 0x06, 0, 128, 0x00, 0x43, 0x00, 0x10,
        0x00, 3, 0x00, 0x10, 0, 0, 0, 0,
    ];
    body.extend((public.len() as u16).to_be_bytes());
    body.extend(public);
    body.extend([0; 6]);
    let response = rig.ask(SESSIONS, TpmCommand::CREATE_PRIMARY, &body);
    assert_eq!(ResponseCode::of(&response), Some(ResponseCode::SUCCESS));
    let length = usize::from(u16::from_be_bytes([response[18], response[19]]));
    // The name is the last parameter, before five bytes of the password session's answer.
    let name = &response[response.len() - 5 - 34..response.len() - 5];
    (
        response[10..14].to_vec(),
        response[20..20 + length].to_vec(),
        name.to_vec(),
    )
}

/// Name that the TPM itself computes for a public area; it refuses a point that is not on the curve.
fn load_external(rig: &mut Rig, public: &[u8]) -> Result<Vec<u8>, ResponseCode> {
    let mut body = vec![0, 0];
    body.extend((public.len() as u16).to_be_bytes());
    body.extend(public);
    body.extend(NULL_HANDLE.to_be_bytes());
    let response = rig.ask(NO_SESSIONS, TpmCommand::LOAD_EXTERNAL, &body);
    match ResponseCode::of(&response) {
        Some(ResponseCode::SUCCESS) => Ok(response[16..].to_vec()),
        code => Err(code.unwrap()),
    }
}

#[test]
fn a_swapped_storage_key_is_valid_and_has_its_own_name_in_both_responses() {
    let mut honest = rig(Vec::new());
    let (_, own_public, own_name) = storage_key(&mut honest);
    assert_eq!(
        load_external(&mut honest, &own_public).as_ref(),
        Ok(&own_name),
        "positive control"
    );
    drop(honest);
    let mut rig = rig(vec![TpmFault::SwapSrkPublic]);
    let (handle, public, name) = storage_key(&mut rig);
    assert_eq!(rig.struck(0), 1);
    assert_eq!(public.len(), own_public.len());
    // All but the point, which is the last 68 bytes, is the same.
    let (kept, point) = public.split_at(public.len() - 68);
    let (own_kept, own_point) = own_public.split_at(own_public.len() - 68);
    assert_eq!(kept, own_kept);
    assert_ne!(point, own_point);
    assert_eq!(load_external(&mut rig, &public).as_ref(), Ok(&name));
    let mut off_curve = public.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    assert!(
        load_external(&mut rig, &off_curve).is_err(),
        "the TPM checks points"
    );

    let read = rig.ask(NO_SESSIONS, TpmCommand::READ_PUBLIC, &handle);
    assert_eq!(ResponseCode::of(&read), Some(ResponseCode::SUCCESS));
    assert!(read[12..].starts_with(&public) && read[12 + public.len() + 2..].starts_with(&name));
    assert_eq!(rig.struck(0), 2);
    // A key that is no storage key is left alone: the same response without `restricted`.
    let mut other = read.clone();
    other[12 + 5] &= !1;
    assert!(
        public::swap(TpmCommand::READ_PUBLIC, &handle, &read).is_some(),
        "positive control"
    );
    assert_eq!(public::swap(TpmCommand::READ_PUBLIC, &handle, &other), None);
}
