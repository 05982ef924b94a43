//! How a FAT32 volume of a given size is divided.

use crate::SECTOR_BYTES;

/// Sectors before the first FAT: boot sector, FSInfo, their copies; 32 is what every tool writes.
pub(crate) const RESERVED_SECTORS: u32 = 32;
/// Copies of the FAT.
pub(crate) const FATS: u32 = 2;
/// Number of the first data cluster.
pub(crate) const FIRST_CLUSTER: u32 = 2;
/// Bytes of one FAT entry.
pub(crate) const FAT_ENTRY_BYTES: u64 = 4;

/// Fewest clusters we make: 65,525 would do, but readers that count wrong by a few then see FAT16 (fatgen103,
/// advises a distance of 16).
const MIN_CLUSTERS: u64 = 65_525 + 16;

/// Fewest clusters of a FAT32 volume (fatgen103).
pub(crate) const MIN_FAT32_CLUSTERS: u64 = 65_525;

/// Most clusters of a FAT32 volume: higher numbers have special meanings.
pub(crate) const MAX_CLUSTERS: u64 = 0x0fff_fff5;

/// Cluster sizes we choose from, in sectors, the best first: 4 KiB is the page size and the block of the disks.
const SECTORS_PER_CLUSTER: [u32; 4] = [8, 4, 2, 1];

/// Bytes of the smallest volume we make: 65,541 clusters of 512 bytes, two FATs, 32 reserved sectors.
pub const MIN_VOLUME_BYTES: u64 = (MIN_CLUSTERS + 2 * 513 + RESERVED_SECTORS as u64) * SECTOR_BYTES;

/// Why there is no FAT32 volume of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Not a whole number of sectors.
    #[error("lay out FAT32 volume: {found} bytes; expected a multiple of 512")]
    NotSectors {
        /// Bytes given.
        found: u64,
    },
    /// Too small to be FAT32.
    #[error(
        "lay out FAT32 volume: {found} bytes; at least {} are needed for 65541 clusters",
        MIN_VOLUME_BYTES
    )]
    TooSmall {
        /// Bytes given.
        found: u64,
    },
    /// Too large for clusters of 4 KiB.
    #[error("lay out FAT32 volume: {found} bytes; clusters of 4 KiB reach to 1 TiB")]
    TooLarge {
        /// Bytes given.
        found: u64,
    },
}

/// The parts of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) total_sectors: u32,
    pub(crate) sectors_per_cluster: u32,
    pub(crate) fat_sectors: u32,
    pub(crate) clusters: u32,
}

impl Geometry {
    /// The geometry for a volume of `bytes`, with the largest clusters that leave it FAT32.
    pub(crate) fn new(bytes: u64) -> Result<Self, GeometryError> {
        if !bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(GeometryError::NotSectors { found: bytes });
        }
        let too_large = GeometryError::TooLarge { found: bytes };
        let total_sectors = u32::try_from(bytes / SECTOR_BYTES).map_err(|_| too_large)?;
        for sectors_per_cluster in SECTORS_PER_CLUSTER {
            let Some(geometry) = Self::with_clusters_of(total_sectors, sectors_per_cluster) else {
                continue;
            };
            if u64::from(geometry.clusters) > MAX_CLUSTERS {
                return Err(too_large);
            }
            if u64::from(geometry.clusters) >= MIN_CLUSTERS {
                return Ok(geometry);
            }
        }
        Err(GeometryError::TooSmall { found: bytes })
    }

    fn with_clusters_of(total_sectors: u32, sectors_per_cluster: u32) -> Option<Self> {
        let payload = total_sectors.checked_sub(RESERVED_SECTORS)?;
        let clusters_with = |fat_sectors: u32| {
            Some(payload.checked_sub(FATS.checked_mul(fat_sectors)?)? / sectors_per_cluster)
        };
        // A FAT for all clusters there would be without any FAT is too large, one for the clusters that it leaves is
        // too small or right; the smallest that holds its clusters lies a few sectors above.
        let too_large = fat_sectors_for(payload / sectors_per_cluster);
        let mut fat_sectors = fat_sectors_for(clusters_with(too_large)?);
        loop {
            let clusters = clusters_with(fat_sectors)?;
            if fat_sectors_for(clusters) <= fat_sectors {
                return Some(Self {
                    total_sectors,
                    sectors_per_cluster,
                    fat_sectors,
                    clusters,
                });
            }
            fat_sectors += 1;
        }
    }

    pub(crate) fn cluster_bytes(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * SECTOR_BYTES
    }

    /// First byte of a data cluster (number 2 or higher) in the volume.
    pub(crate) fn cluster_offset(&self, cluster: u32) -> u64 {
        let data = u64::from(RESERVED_SECTORS) + u64::from(FATS) * u64::from(self.fat_sectors);
        data * SECTOR_BYTES + u64::from(cluster - FIRST_CLUSTER) * self.cluster_bytes()
    }
}

fn fat_sectors_for(clusters: u32) -> u32 {
    ((u64::from(clusters) + u64::from(FIRST_CLUSTER)) * FAT_ENTRY_BYTES).div_ceil(SECTOR_BYTES) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn clusters_are_as_large_as_fat32_allows() {
        let cluster_bytes = |mib| Geometry::new(mib * MIB).unwrap().cluster_bytes();
        assert_eq!(cluster_bytes(34), 512);
        assert_eq!(cluster_bytes(100), 1024);
        assert_eq!(cluster_bytes(256), 2048);
        assert_eq!(cluster_bytes(260), 4096);
        assert_eq!(cluster_bytes(512), 4096);
        assert_eq!(cluster_bytes(900 * 1024), 4096);
    }

    #[test]
    fn every_geometry_fits_its_volume_and_its_fat() {
        for extra in 0..5000 {
            for base in [MIN_VOLUME_BYTES, 68 * MIB, 137 * MIB, 256 * MIB, 512 * MIB] {
                let geometry = Geometry::new(base + extra * SECTOR_BYTES).unwrap();
                assert!(u64::from(geometry.clusters) >= MIN_CLUSTERS);
                assert!(fat_sectors_for(geometry.clusters) <= geometry.fat_sectors);
                let end = geometry.cluster_offset(geometry.clusters + FIRST_CLUSTER);
                let bytes = u64::from(geometry.total_sectors) * SECTOR_BYTES;
                assert!(end <= bytes, "{geometry:?}");
                let waste = bytes - end;
                assert!(
                    waste < geometry.cluster_bytes() + 2 * SECTOR_BYTES * 8,
                    "{geometry:?}"
                );
            }
        }
    }

    #[test]
    fn sizes_that_are_not_fat32_are_refused() {
        assert!(Geometry::new(MIN_VOLUME_BYTES).is_ok());
        let found = MIN_VOLUME_BYTES - 512;
        assert_eq!(Geometry::new(found), Err(GeometryError::TooSmall { found }));
        assert_eq!(Geometry::new(0), Err(GeometryError::TooSmall { found: 0 }));
        assert_eq!(
            Geometry::new(64 * MIB + 1),
            Err(GeometryError::NotSectors { found: 64 * MIB + 1 })
        );
        let found = 2 << 40;
        assert_eq!(Geometry::new(found), Err(GeometryError::TooLarge { found }));
    }
}
