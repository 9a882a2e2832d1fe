//! Networks kept by name, so that requests need not carry them: as files beside the journal, or in memory where the
//! journal is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{RecordBatch, StringArray};
use bespeak_allocation::input::Costs;
use bespeak_allocation::tables::{self, Tables};
use bespeak_journal::BackupFile;
use bespeak_proto::v1 as pb;
use prost::Message;

use super::files;
use super::tables::decode;
use crate::config::{JournalMode, JournalSettings};
use crate::convert::fields;
use crate::error::ApiError;

/// Directory below the journal's.
pub(crate) const DIRECTORY: &str = "networks";
/// Networks of one server.
const NETWORKS_MAX: usize = 256;
/// Bytes of all of them.
const BYTES_MAX: usize = 256 << 20;

/// A network with its tables decoded.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// As it came.
    pub network: pb::Network,
    /// Decoded: all but those of orders, costs one by one and stock.
    pub tables: Tables,
}

impl Kept {
    /// Decodes the tables of a network.
    ///
    /// # Errors
    /// `InvalidArgument` naming the one that is no table.
    pub fn decode(network: pb::Network) -> Result<Self, ApiError> {
        let tables = Tables {
            locations: decode("locations", &network.locations)?,
            rates: decode("rates", &network.rates)?,
            exclusions: decode("exclusions", &network.exclusions)?,
            capacity: decode("capacity", &network.capacity)?,
            protection: decode("protection", &network.protection)?,
            tier_confidence: network.tier_confidence.clone(),
            ..Tables::default()
        };
        Ok(Self { network, tables })
    }

    fn bytes(&self) -> usize {
        self.network.encoded_len()
    }
}

#[derive(Debug)]
struct Named {
    version: u64,
    kept: Arc<Kept>,
    file: Option<PathBuf>,
}

/// Networks by name.
#[derive(Debug, Default)]
pub struct Networks {
    directory: Option<PathBuf>,
    named: Mutex<BTreeMap<String, Named>>,
}

impl Networks {
    /// Opens those beside a journal; in memory where the journal is.
    ///
    /// # Errors
    /// When their directory cannot be used, or a file in it is not what was written.
    pub fn open(journal: &JournalSettings) -> Result<Self, ApiError> {
        let path = journal
            .path
            .as_deref()
            .filter(|_| journal.mode() == JournalMode::Group);
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let directory = path.join(DIRECTORY);
        let wrong = |path: &Path, what: &dyn std::fmt::Display| {
            ApiError::NetworksFailed(format!("cannot use {}: {what}", path.display()))
        };
        let files = files::open(&directory).map_err(|error| wrong(&directory, &error))?;
        let mut named = BTreeMap::new();
        for file in files {
            let put = pb::PutNetworkRequest::decode(file.bytes.as_slice())
                .map_err(|error| wrong(&file.path, &error))?;
            let network = put.network.unwrap_or_default();
            let kept = Kept::decode(network).map_err(|error| wrong(&file.path, &error))?;
            let new = Named {
                version: file.version,
                kept: Arc::new(kept),
                file: Some(file.path),
            };
            // A crash between the new file and the removal of the old one leaves both.
            let older = match named.remove(&put.name) {
                Some(known) if known_is_newer(&known, &new) => {
                    named.insert(put.name, known);
                    Some(new)
                }
                known => {
                    named.insert(put.name, new);
                    known
                }
            };
            if let Some(path) = older.and_then(|older| older.file) {
                files::remove(&path);
            }
        }
        Ok(Self {
            directory: Some(directory),
            named: Mutex::new(named),
        })
    }

    fn named(&self) -> MutexGuard<'_, BTreeMap<String, Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network of a name.
    ///
    /// # Errors
    /// `UnknownNetwork`.
    pub fn find(&self, name: &str) -> Result<Kept, ApiError> {
        fields::name("network_name", name)?;
        let found = self.named().get(name).map(|named| Arc::clone(&named.kept));
        match found {
            Some(kept) => Ok(Kept::clone(&kept)),
            None => Err(ApiError::UnknownNetwork(crate::error::shorten(name))),
        }
    }

    /// Keeps a network. One that is the same as before keeps its version.
    ///
    /// # Errors
    /// `InvalidArgument` when its tables make no sense, or there are too many; `NetworksFailed` when it cannot be
    /// written.
    pub fn put(&self, request: pb::PutNetworkRequest) -> Result<pb::PutNetworkResponse, ApiError> {
        fields::name("name", &request.name)?;
        let Some(network) = request.network else {
            return Err(ApiError::invalid("network", "missing", "send its tables"));
        };
        let kept = Kept::decode(network)?;
        let (locations, lanes) = check(&kept)?;
        let mut named = self.named();
        let before = named.get(&request.name);
        let version = match before {
            Some(known) if known.kept.network == kept.network => known.version,
            _ => {
                let others = named.iter().filter(|(name, _)| **name != request.name);
                let bytes: usize = others.map(|(_, known)| known.kept.bytes()).sum();
                if before.is_none() && named.len() >= NETWORKS_MAX {
                    let rule = format!("at most {NETWORKS_MAX} networks are kept: reuse a name");
                    return Err(ApiError::invalid("name", &request.name, rule));
                }
                if bytes + kept.bytes() > BYTES_MAX {
                    let rule = format!(
                        "networks may have {BYTES_MAX} bytes together: make others smaller"
                    );
                    return Err(ApiError::invalid(
                        "network",
                        format!("{} bytes", kept.bytes()),
                        rule,
                    ));
                }
                let newest = named.values().map(|known| known.version).max();
                let version = newest.unwrap_or(0) + 1;
                let file = self.write(&request.name, &kept, version)?;
                let new = Named {
                    version,
                    kept: Arc::new(kept),
                    file,
                };
                let old = named.insert(request.name, new).and_then(|old| old.file);
                if let Some(path) = old {
                    files::remove(&path);
                }
                version
            }
        };
        Ok(pb::PutNetworkResponse {
            version,
            locations,
            lanes,
        })
    }

    /// Writes those that are kept now into an empty directory, and gives the name, bytes and hash of each file.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn copy(&self, to: &Path) -> std::io::Result<Vec<BackupFile>> {
        let named = self.named();
        let kept = named.iter();
        let kept = kept.map(|(name, one)| (name.clone(), one.version, Arc::clone(&one.kept)));
        let kept: Vec<_> = kept.collect();
        drop(named);
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        std::fs::create_dir_all(to)?;
        let copied = kept.into_iter().map(|(name, version, kept)| {
            let network = Some(kept.network.clone());
            let bytes = pb::PutNetworkRequest { name, network }.encode_to_vec();
            let path = files::write(to, version, &bytes)?;
            let name = path.file_name().unwrap_or_default().display();
            Ok(BackupFile {
                name: format!("{DIRECTORY}/{name}"),
                bytes: bytes.len() as u64,
                hash: *blake3::hash(&bytes).as_bytes(),
            })
        });
        copied.collect()
    }

    /// Whether they are files.
    pub fn is_on_disk(&self) -> bool {
        self.directory.is_some()
    }

    fn write(&self, name: &str, kept: &Kept, version: u64) -> Result<Option<PathBuf>, ApiError> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let message = pb::PutNetworkRequest {
            name: name.to_owned(),
            network: Some(kept.network.clone()),
        };
        let written = files::write(directory, version, &message.encode_to_vec());
        let wrong = |error: std::io::Error| {
            ApiError::NetworksFailed(format!("cannot write in {}: {error}", directory.display()))
        };
        written.map(Some).map_err(wrong)
    }
}

fn known_is_newer(known: &Named, new: &Named) -> bool {
    known.version > new.version
}

/// Reads a network as a request would that orders to each of its zones: locations and lanes that it has.
///
/// # Errors
/// `InvalidArgument` naming table, row and column.
pub fn check(kept: &Kept) -> Result<(u32, u32), ApiError> {
    let Some(rates) = &kept.tables.rates else {
        return Err(ApiError::invalid("rates", "", "a network needs rates"));
    };
    let zones = zones(rates)?;
    let count = zones.len();
    let ids: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let orders = RecordBatch::try_from_iter([
        ("order_id", as_array(StringArray::from_iter_values(ids))),
        (
            "line",
            as_array(arrow_array::Int32Array::from(vec![1; count])),
        ),
        (
            "item",
            as_array(StringArray::from_iter_values(std::iter::repeat_n(
                "-", count,
            ))),
        ),
        (
            "quantity",
            as_array(arrow_array::Int64Array::from(vec![1; count])),
        ),
        ("zone", as_array(StringArray::from_iter_values(zones))),
    ]);
    let orders = orders.map_err(|error| ApiError::Internal(error.to_string()))?;
    let tables = Tables {
        orders: Some(orders),
        ..kept.tables.clone()
    };
    let (input, _) = tables::read(&tables)?;
    let lanes = match &input.costs {
        Costs::Network(network) => network.lanes.len(),
        Costs::Given(_) => 0,
    };
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok((input.locations, small(lanes)))
}

fn as_array(array: impl arrow_array::Array + 'static) -> arrow_array::ArrayRef {
    Arc::new(array)
}

fn zones(rates: &RecordBatch) -> Result<Vec<String>, ApiError> {
    let Some(column) = rates.column_by_name("zone") else {
        return Err(ApiError::invalid(
            "column zone of rates",
            "absent",
            "add it",
        ));
    };
    let texts = crate::tables::columns::Texts::new("zone", column)?;
    let zones = (0..rates.num_rows()).filter_map(|row| texts.get(row).map(str::to_owned));
    let mut zones: Vec<String> = zones.collect();
    zones.sort_unstable();
    zones.dedup();
    Ok(zones)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::ipc;

    fn rates(packages: &[i64]) -> bytes::Bytes {
        let count = packages.len();
        let places: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
        let batch = RecordBatch::try_from_iter([
            ("location", as_array(StringArray::from_iter_values(places))),
            (
                "zone",
                as_array(StringArray::from_iter_values(std::iter::repeat_n(
                    "z", count,
                ))),
            ),
            (
                "package_minor",
                as_array(arrow_array::Int64Array::from(packages.to_vec())),
            ),
        ]);
        ipc::write(&batch.expect("columns of one length"))
            .expect("plain columns")
            .into()
    }

    fn put(name: &str, packages: &[i64]) -> pb::PutNetworkRequest {
        pb::PutNetworkRequest {
            name: name.to_owned(),
            network: Some(pb::Network {
                rates: rates(packages),
                ..Default::default()
            }),
        }
    }

    fn journal(path: &Path) -> JournalSettings {
        JournalSettings {
            path: Some(path.to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn networks_survive_and_only_the_newest_of_a_name() {
        let place = tempfile::tempdir().expect("a directory");
        let settings = journal(place.path());
        let networks = Networks::open(&settings).expect("an empty directory");
        assert_eq!(networks.put(put("a", &[1, 2])).expect("sound").lanes, 2);
        let first = networks.put(put("a", &[1, 3, 4])).expect("sound").version;
        assert_eq!(
            networks.put(put("a", &[1, 3, 4])).expect("sound").version,
            first
        );
        let other = networks.put(put("b", &[9])).expect("sound").version;
        assert!(other > first);
        drop(networks);
        let directory = place.path().join(DIRECTORY);
        assert_eq!(
            std::fs::read_dir(&directory).expect("it is there").count(),
            2
        );
        // What a crash leaves: an unfinished file, and an old one beside its successor.
        std::fs::write(directory.join("9.part"), b"half").expect("a write");
        files::write(&directory, 1, &put("a", &[7]).encode_to_vec()).expect("a write");
        let again = Networks::open(&settings).expect("as it was left");
        assert_eq!(
            std::fs::read_dir(&directory).expect("it is there").count(),
            2
        );
        assert_eq!(
            again.find("a").expect("kept").network.rates,
            rates(&[1, 3, 4])
        );
        assert!(again.put(put("c", &[1])).expect("sound").version > other);
        assert_eq!(again.find("d").expect_err("none").code(), "UNKNOWN_NETWORK");
    }

    #[test]
    fn a_damaged_file_is_told_and_not_served() {
        let place = tempfile::tempdir().expect("a directory");
        let settings = journal(place.path());
        let networks = Networks::open(&settings).expect("an empty directory");
        networks.put(put("a", &[1])).expect("sound");
        let directory = place.path().join(DIRECTORY);
        let file = std::fs::read_dir(&directory).expect("it is there").next();
        let path = file.expect("one").expect("readable").path();
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).expect("a write");
        let error = Networks::open(&settings).expect_err("damaged");
        assert_eq!(error.code(), "NETWORKS_FAILED");
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn too_many_are_refused() {
        let networks = Networks::default();
        for n in 0..NETWORKS_MAX {
            networks
                .put(put(&n.to_string(), &[1]))
                .expect("there is room");
        }
        let full = networks.put(put("more", &[1])).expect_err("full");
        assert_eq!(full.code(), "INVALID_ARGUMENT");
        assert!(networks.put(put("7", &[2])).is_ok());
        assert!(networks.put(put("8", &[-1])).is_err());
        assert_eq!(networks.find("8").expect("kept").network.rates, rates(&[1]));
    }
}
