//! Starts PostgreSQL with a cluster of its own. It refuses to run as root, so under root it runs
//! as the user that the package made.

use std::ffi::CString;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{find_program, postgres};
use crate::process::{Process, Setup, free_port, until_connects};

pub const MISSING: &str = "postgresql is not installed: apt-get install postgresql";
const SCHEMA: &str = include_str!("../../../peers/postgres/schema.sql");
const CONF: &str = include_str!("../../../peers/postgres/postgresql.conf");
/// The account that Debian's package makes.
const ACCOUNT: &str = "postgres";

pub struct PostgresServer {
    pub process: Process,
    pub port: u16,
    pub version: String,
}

impl PostgresServer {
    /// Makes a cluster under `dir` and starts it.
    ///
    /// # Errors
    /// PostgreSQL is missing or does not come up; the message says which.
    pub async fn start(dir: &Path, core: usize) -> Result<Self> {
        let bin = programs().context(MISSING)?;
        let user = account()?;
        let home = dir.join("postgres");
        std::fs::create_dir(&home)?;
        if let Some((uid, gid)) = user {
            // The account must be able to reach its own directory below ours.
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
            chown(&home, Some(uid), Some(gid))?;
        }
        let data = home.join("data");
        let mut init = Command::new(bin.join("initdb"));
        init.args([
            "--auth=trust",
            "--username=bench",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ])
        .arg("--pgdata")
        .arg(&data)
        .current_dir(&home);
        if let Some((uid, gid)) = user {
            init.uid(uid).gid(gid);
        }
        let output = init
            .output()
            .with_context(|| format!("could not run {init:?}"))?;
        ensure!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let port = free_port()?;
        let conf = format!(
            "{CONF}\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n",
            home.display()
        );
        std::fs::write(data.join("postgresql.conf"), conf)?;
        let mut command = Command::new(bin.join("postgres"));
        command.arg("-D").arg(&data).current_dir(&home);
        // SIGINT is its fast shutdown: open connections are closed.
        let setup = Setup::new(core, &home).user(user).stop_signal(libc::SIGINT);
        let process = Process::start("postgres", command, &setup)?;
        until_connects(&process, port).await?;
        let client = until_ready(port, &process).await?;
        client.batch_execute(SCHEMA).await?;
        let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
        Ok(Self {
            process,
            port,
            version: format!("postgresql {version}"),
        })
    }

    /// Sets the stock of SKUs from `first` on and leaves the tables vacuumed and checkpointed.
    ///
    /// # Errors
    /// The server refuses a statement.
    pub async fn set_stock(&self, first: u32, stocks: &[u64]) -> Result<()> {
        let client = postgres::connect(self.port).await?;
        for (chunk, stocks) in stocks.chunks(1_000).enumerate() {
            let start = first as usize + chunk * 1_000;
            let rows: Vec<String> = stocks
                .iter()
                .enumerate()
                .map(|(index, stock)| format!("({}, {stock})", start + index))
                .collect();
            let sql = format!(
                "INSERT INTO stock (sku, available) VALUES {}",
                rows.join(",")
            );
            client.batch_execute(&sql).await?;
        }
        client.batch_execute("VACUUM ANALYZE").await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// What is left of each SKU.
    ///
    /// # Errors
    /// The server refuses the query.
    pub async fn stocks(&self) -> Result<Vec<i64>> {
        let client = postgres::connect(self.port).await?;
        let rows = client
            .query("SELECT available FROM stock ORDER BY sku", &[])
            .await?;
        Ok(rows
            .iter()
            .map(|row| i64::from(row.get::<_, i32>(0)))
            .collect())
    }
}

/// It takes connections before it takes queries.
async fn until_ready(port: u16, process: &Process) -> Result<tokio_postgres::Client> {
    for _ in 0..500 {
        if let Ok(client) = postgres::connect(port).await {
            return Ok(client);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    bail!("postgres takes no queries: {}", process.log_tail())
}

/// Where initdb and postgres are: in PATH, or the newest version where Debian keeps them.
pub fn programs() -> Option<PathBuf> {
    if let Some(initdb) = find_program("initdb") {
        return initdb.parent().map(Path::to_path_buf);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| dir.join("bin/initdb").is_file())
        .max_by_key(|dir| {
            dir.file_name()
                .and_then(|n| n.to_str()?.parse::<u32>().ok())
        })
        .map(|dir| dir.join("bin"))
}

/// User and group to run as: the package's account under root, our own otherwise.
fn account() -> Result<Option<(u32, u32)>> {
    // SAFETY: a plain system call, and a look-up whose result is read before any other.
    unsafe {
        if libc::geteuid() != 0 {
            return Ok(None);
        }
        let name = CString::new(ACCOUNT)?;
        let entry = libc::getpwnam(name.as_ptr());
        ensure!(!entry.is_null(), "there is no user {ACCOUNT}: {MISSING}");
        Ok(Some(((*entry).pw_uid, (*entry).pw_gid)))
    }
}
