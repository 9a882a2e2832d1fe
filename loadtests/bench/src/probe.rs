//! What the machine itself can do right now: a durable write and a trip over loopback. Taken before
//! and after each round, so that a noisy neighbour shows beside the numbers it spoiled.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::latency::{self, Latency, histogram};
use crate::machine;

const SYNCS: u64 = 100;
const TRIPS: usize = 500;
const BLOCK: usize = 4096;
const FILE_BYTES: usize = 4 << 20;
const MESSAGE: [u8; 64] = [7; 64];
/// Linux's numbers of file systems that keep nothing.
const RAM_FILE_SYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58F6];

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Probe {
    /// fdatasync of one block of a file written with zeros before.
    pub disk_p50_us: f64,
    pub disk_p99_us: f64,
    /// 64 bytes there and back between the client's and the server's core.
    pub loopback_p50_us: f64,
}

/// Why the numbers of a round must not be used: what the machine could do was not the same before and after it. A time
/// moved when one is more than `factor` times the other.
pub fn moved(before: &Probe, after: &Probe, factor: f64) -> Option<String> {
    let times = [
        ("a durable write", before.disk_p50_us, after.disk_p50_us),
        (
            "a trip over loopback",
            before.loopback_p50_us,
            after.loopback_p50_us,
        ),
    ];
    let (what, first, last) = times
        .into_iter()
        .find(|(_, first, last)| first.max(*last) > factor * first.min(*last))?;
    Some(format!(
        "the machine moved: {what} took {first:.0} us before and {last:.0} us after, more than {factor} times"
    ))
}

/// Writes back what earlier rounds left, then probes. Takes about 50 ms on a quiet machine.
///
/// # Errors
/// The directory cannot be written to.
pub fn probe(dir: &Path, server_core: usize) -> Result<Probe> {
    let disk = Latency::from(&disk(dir).context("disk probe")?);
    let loopback = Latency::from(&loopback(server_core).context("loopback probe")?);
    Ok(Probe {
        disk_p50_us: disk.p50_us,
        disk_p99_us: disk.p99_us,
        loopback_p50_us: loopback.p50_us,
    })
}

fn disk(dir: &Path) -> Result<Histogram<u32>> {
    let path = dir.join("probe");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    file.write_all(&vec![0; FILE_BYTES])?;
    // SAFETY: a plain system call on an open descriptor.
    ensure!(
        unsafe { libc::syncfs(std::os::fd::AsRawFd::as_raw_fd(&file)) } == 0,
        "syncfs failed"
    );
    let mut histogram = histogram();
    for index in 0..SYNCS {
        let start = Instant::now();
        file.write_all_at(&[1; BLOCK], (index * BLOCK as u64) % FILE_BYTES as u64)?;
        file.sync_data()?;
        latency::record(&mut histogram, start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(histogram)
}

fn loopback(server_core: usize) -> Result<Histogram<u32>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> Result<()> {
        machine::pin_to(server_core)?;
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = MESSAGE;
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let mut histogram = histogram();
    {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut message = MESSAGE;
        for _ in 0..TRIPS {
            let start = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
            latency::record(&mut histogram, start.elapsed());
        }
    }
    match echo.join() {
        Ok(result) => result.map(|()| histogram),
        Err(_) => bail!("the echo thread panicked"),
    }
}

/// # Errors
/// The directory is kept in memory: durable rows measured there would mean nothing.
pub fn ensure_real_disk(dir: &Path) -> Result<()> {
    let path = std::ffi::CString::new(dir.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is a valid C string and statfs writes to the local given.
    let kind = unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        ensure!(
            libc::statfs(path.as_ptr(), &mut stat) == 0,
            "no file system at {}",
            dir.display()
        );
        stat.f_type
    };
    ensure!(
        !RAM_FILE_SYSTEMS.contains(&kind),
        "{} is kept in memory, where nothing is durable: give a directory on a disk with --dir",
        dir.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_probes_give_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let probe = probe(dir.path(), 0).unwrap();
        assert!(
            probe.disk_p50_us > 0.0 && probe.loopback_p50_us > 0.0,
            "{probe:?}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_machine_moved_when_either_time_did_and_either_way() {
        let of = |disk_p50_us, loopback_p50_us| Probe {
            disk_p50_us,
            disk_p99_us: 900.0,
            loopback_p50_us,
        };
        let calm = of(100.0, 10.0);
        for (other, what) in [
            (of(199.0, 19.0), None),
            (
                of(201.0, 10.0),
                Some("durable write took 100 us before and 201"),
            ),
            (of(49.0, 10.0), Some("durable write")),
            (of(100.0, 21.0), Some("loopback")),
            (of(100.0, 4.9), Some("loopback")),
        ] {
            let why = moved(&calm, &other, 2.0);
            assert_eq!(why.is_some(), what.is_some(), "{why:?}");
            assert!(what.is_none_or(|what| why.unwrap().contains(what)));
        }
    }

    #[test]
    fn memory_is_no_disk() {
        let error = ensure_real_disk(Path::new("/dev/shm"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("--dir"), "{error}");
    }
}
