//! Server processes that the tool starts: one core each, ended with the tool, data removed.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine;

const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(20);

/// Turns of the runtime in which a connection that nobody holds any longer is closed.
const TURNS: usize = 64;

/// Lets connections end that nobody holds any longer. Who stops a server blocks the runtime, and the server would wait
/// for them for as long as it waits for calls.
pub async fn connections_closed() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// How a server is started and stopped.
pub struct Setup {
    cores: Vec<usize>,
    log: PathBuf,
    /// User and group, when not the tool's own.
    user: Option<(u32, u32)>,
    stop_signal: i32,
}

impl Setup {
    /// The server's output goes to a file beside its data.
    pub fn new(core: usize, data: &Path) -> Self {
        Self {
            cores: vec![core],
            log: data.with_extension("log"),
            user: None,
            stop_signal: libc::SIGTERM,
        }
    }

    /// Several cores in place of the one.
    pub fn cores(mut self, cores: &[usize]) -> Self {
        self.cores = cores.to_vec();
        self
    }

    pub fn user(mut self, user: Option<(u32, u32)>) -> Self {
        self.user = user;
        self
    }

    pub fn stop_signal(mut self, signal: i32) -> Self {
        self.stop_signal = signal;
        self
    }
}

pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    stop_signal: i32,
}

impl Process {
    /// Starts a server pinned to its core. It is told to stop if this tool dies.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, mut command: Command, setup: &Setup) -> Result<Self> {
        let log = File::create(&setup.log)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some((uid, gid)) = setup.user {
            command.uid(uid).gid(gid);
        }
        let (cores, stop_signal) = (machine::set_of(&setup.cores), setup.stop_signal);
        // SAFETY: only async-signal-safe system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                machine::pin_to_set(&cores)?;
                if libc::prctl(libc::PR_SET_PDEATHSIG, stop_signal) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: setup.log.clone(),
            stop_signal,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Freezes the server and its children while another is measured.
    pub fn pause(&self) {
        self.signal_group(libc::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal_group(libc::SIGCONT);
    }

    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" | ")
    }

    fn signal_group(&self, signal: i32) {
        // SAFETY: plain system call; the group was made for this child, which is not yet reaped.
        unsafe { libc::kill(-self.child.id().cast_signed(), signal) };
    }

    fn stop(&mut self) {
        self.resume();
        // SAFETY: as above, to the one process that ends the others.
        unsafe { libc::kill(self.child.id().cast_signed(), self.stop_signal) };
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        eprintln!("{} did not stop within {STOP_MAX:?}: killed", self.name);
        self.signal_group(libc::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on.
///
/// # Errors
/// The machine has none left.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until the server takes connections.
///
/// # Errors
/// It ends, or takes too long.
pub async fn until_connects(process: &Process, port: u16) -> Result<()> {
    let deadline = Instant::now() + START_MAX;
    let alive = || Path::new(&format!("/proc/{}/exe", process.pid())).exists();
    loop {
        if tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            return Ok(());
        }
        if !alive() || Instant::now() > deadline {
            bail!(
                "{} takes no connections on port {port}: {}",
                process.name,
                process.log_tail()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(dir: &Path, program: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(program);
        command.args(arguments);
        Process::start(program, command, &Setup::new(0, &dir.join("data"))).unwrap()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let process = start(dir.path(), "sleep", &["600"]);
        let pid = process.pid();
        process.pause();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn a_server_that_ends_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let process = start(dir.path(), "sh", &["-c", "echo no room; exit 3"]);
        let error = until_connects(&process, free_port().unwrap())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("no room"), "{error}");
    }
}
