//! The boot sector (BIOS parameter block) and the FSInfo sector. Source: fatgen103.

use super::geometry::{
    FAT_ENTRY_BYTES, FATS, FIRST_CLUSTER, Geometry, MAX_CLUSTERS, MIN_FAT32_CLUSTERS, RESERVED_SECTORS,
};
use super::reader::BootError;
use crate::SECTOR_BYTES;

pub(crate) const SECTOR: usize = SECTOR_BYTES as usize;

/// First cluster of the root directory in volumes we write.
pub(crate) const ROOT_CLUSTER: u32 = FIRST_CLUSTER;
/// Sector of FSInfo.
pub(crate) const FSINFO_SECTOR: u64 = 1;
/// Sector of the copy of the boot sector; that of FSInfo follows.
pub(crate) const BACKUP_BOOT_SECTOR: u64 = 6;
/// Medium: fixed disk. Also the low byte of FAT entry 0.
pub(crate) const MEDIA: u8 = 0xf8;

const SECTOR_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// The boot sector of a volume we write.
pub(crate) fn encode_boot_sector(
    geometry: &Geometry,
    hidden_sectors: u32,
    volume_id: u32,
    label: &[u8; 11],
) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    bytes[0..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    bytes[3..11].copy_from_slice(b"MSWIN4.1"); // the name that fatgen103 recommends: some drivers look at it
    bytes[11..13].copy_from_slice(&(SECTOR as u16).to_le_bytes());
    bytes[13] = geometry.sectors_per_cluster as u8;
    bytes[14..16].copy_from_slice(&(RESERVED_SECTORS as u16).to_le_bytes());
    bytes[16] = FATS as u8;
    bytes[21] = MEDIA;
    bytes[24..26].copy_from_slice(&63u16.to_le_bytes()); // sectors per track, for BIOS only
    bytes[26..28].copy_from_slice(&255u16.to_le_bytes()); // heads, for BIOS only
    bytes[28..32].copy_from_slice(&hidden_sectors.to_le_bytes());
    bytes[32..36].copy_from_slice(&geometry.total_sectors.to_le_bytes());
    bytes[36..40].copy_from_slice(&geometry.fat_sectors.to_le_bytes());
    bytes[44..48].copy_from_slice(&ROOT_CLUSTER.to_le_bytes());
    bytes[48..50].copy_from_slice(&(FSINFO_SECTOR as u16).to_le_bytes());
    bytes[50..52].copy_from_slice(&(BACKUP_BOOT_SECTOR as u16).to_le_bytes());
    bytes[64] = 0x80;
    bytes[66] = 0x29;
    bytes[67..71].copy_from_slice(&volume_id.to_le_bytes());
    bytes[71..82].copy_from_slice(label);
    bytes[82..90].copy_from_slice(b"FAT32   ");
    bytes[510..].copy_from_slice(&SECTOR_SIGNATURE);
    bytes
}

/// The FSInfo sector: free clusters, and where to look for the next.
pub(crate) fn encode_fsinfo(free_clusters: u32, next_free: u32) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    bytes[0..4].copy_from_slice(b"RRaA");
    bytes[484..488].copy_from_slice(b"rrAa");
    bytes[488..492].copy_from_slice(&free_clusters.to_le_bytes());
    bytes[492..496].copy_from_slice(&next_free.to_le_bytes());
    bytes[510..].copy_from_slice(&SECTOR_SIGNATURE);
    bytes
}

/// What the reader needs of a boot sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boot {
    /// Bytes of one cluster.
    pub(crate) cluster_bytes: u64,
    /// First byte of the first FAT.
    pub(crate) fat_offset: u64,
    /// First byte of cluster 2.
    pub(crate) data_offset: u64,
    /// Data clusters; their numbers are 2 to `clusters` + 1.
    pub(crate) clusters: u32,
    pub(crate) root_cluster: u32,
}

/// Decodes an untrusted boot sector of a volume of `volume_bytes`.
pub(crate) fn decode_boot_sector(bytes: &[u8; SECTOR], volume_bytes: u64) -> Result<Boot, BootError> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
    if bytes[510..] != SECTOR_SIGNATURE {
        return Err(BootError::Signature);
    }
    let sector_bytes = u16_at(11);
    if usize::from(sector_bytes) != SECTOR {
        return Err(BootError::SectorSize { found: sector_bytes });
    }
    let sectors_per_cluster = bytes[13];
    if !sectors_per_cluster.is_power_of_two() {
        return Err(BootError::ClusterSize {
            found: sectors_per_cluster,
        });
    }
    // FAT12 and FAT16 have these three; FAT32 has zeros.
    let (root_entries, total_16, fat_sectors_16) = (u16_at(17), u16_at(19), u16_at(22));
    if (root_entries, total_16, fat_sectors_16) != (0, 0, 0) || u16_at(42) != 0 {
        return Err(BootError::NotFat32);
    }
    let flags = u16_at(40);
    if flags & 0x80 != 0 {
        return Err(BootError::FatsNotMirrored);
    }
    let (reserved, fats) = (u64::from(u16_at(14)), u64::from(bytes[16]));
    let (total, fat_sectors) = (u64::from(u32_at(32)), u64::from(u32_at(36)));
    let data = reserved + fats * fat_sectors;
    let geometry = BootError::Geometry {
        total_sectors: total,
        data_sector: data,
        volume_bytes,
    };
    if reserved == 0 || fats == 0 || total <= data || total * SECTOR_BYTES > volume_bytes {
        return Err(geometry);
    }
    let clusters = (total - data) / u64::from(sectors_per_cluster);
    let entries = fat_sectors * SECTOR_BYTES / FAT_ENTRY_BYTES;
    if clusters > MAX_CLUSTERS || entries < clusters + u64::from(FIRST_CLUSTER) {
        return Err(geometry);
    }
    if clusters < MIN_FAT32_CLUSTERS {
        return Err(BootError::NotFat32);
    }
    Ok(Boot {
        cluster_bytes: u64::from(sectors_per_cluster) * SECTOR_BYTES,
        fat_offset: reserved * SECTOR_BYTES,
        data_offset: data * SECTOR_BYTES,
        clusters: clusters as u32,
        root_cluster: u32_at(44),
    })
}
