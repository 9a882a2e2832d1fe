//! Redis client: prebuilt RESP over TCP, one write and one read an operation, nothing in between.
//! The scripts in `loadtests/peers/redis` do the work; each is one EVALSHA.

use anyhow::{Context, Result, bail};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::{Connection, Settle};
use crate::ids::{ID_LEN, Ids};

const RESERVE: &str = include_str!("../../../peers/redis/reserve.lua");
const CONFIRM: &str = include_str!("../../../peers/redis/confirm.lua");
const CANCEL: &str = include_str!("../../../peers/redis/cancel.lua");

/// `s:` and seven digits, so that a key can be written into a prebuilt command.
const SKU_LEN: usize = 9;

pub struct RedisConnection {
    stream: TcpStream,
    input: BytesMut,
    ids: Ids,
    reserve: Command,
    confirm: Command,
    cancel: Command,
    check: Command,
}

#[derive(Clone, Copy)]
pub struct RedisHold {
    id: [u8; ID_LEN],
    sku: u32,
}

impl RedisConnection {
    /// Connects and makes sure that the scripts are loaded.
    ///
    /// # Errors
    /// There is no server there, or it refuses a script.
    pub async fn connect(port: u16, salt: u64) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .with_context(|| format!("redis-server on port {port}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            input: BytesMut::with_capacity(4096),
            ids: Ids::new(salt),
            reserve: Command::default(),
            confirm: Command::default(),
            cancel: Command::default(),
            check: Command::new(&["GET", &sku_key(0)]),
        };
        let id = "x".repeat(ID_LEN);
        let sha = connection.load(RESERVE).await?;
        connection.reserve = Command::new(&["EVALSHA", &sha, "2", &sku_key(0), &id, "1"]);
        let sha = connection.load(CONFIRM).await?;
        connection.confirm = Command::new(&["EVALSHA", &sha, "1", &id]);
        let sha = connection.load(CANCEL).await?;
        connection.cancel = Command::new(&["EVALSHA", &sha, "2", &sku_key(0), &id]);
        Ok(connection)
    }

    async fn load(&mut self, script: &str) -> Result<String> {
        match self.command(&["SCRIPT", "LOAD", script]).await? {
            Reply::Text(Some(sha)) => Ok(sha),
            other => bail!("redis answered SCRIPT LOAD with {other:?}"),
        }
    }

    /// Any command, for what is not measured.
    ///
    /// # Errors
    /// The server answers with an error or closes the connection.
    pub async fn command(&mut self, words: &[&str]) -> Result<Reply> {
        self.stream.write_all(&Command::new(words).bytes).await?;
        self.reply().await
    }

    /// Sets the stock of SKUs from `first` on, without waiting for each.
    ///
    /// # Errors
    /// As for [`Self::command`].
    pub async fn set_stock(&mut self, first: u32, stocks: &[u64]) -> Result<()> {
        for (chunk, stocks) in stocks.chunks(1_000).enumerate() {
            let mut words = vec!["MSET".to_owned()];
            for (index, stock) in stocks.iter().enumerate() {
                words.push(sku_key(first + (chunk * 1_000 + index) as u32));
                words.push(stock.to_string());
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.command(&words).await?;
        }
        Ok(())
    }

    /// What is left of each SKU.
    ///
    /// # Errors
    /// As for [`Self::command`].
    pub async fn stocks(&mut self, skus: u32) -> Result<Vec<i64>> {
        let mut left = Vec::with_capacity(skus as usize);
        for sku in 0..skus {
            match self.command(&["GET", &sku_key(sku)]).await? {
                Reply::Text(Some(units)) => left.push(units.parse()?),
                other => bail!("redis has {other:?} as stock of sku {sku}"),
            }
        }
        Ok(left)
    }

    async fn integer(&mut self) -> Result<i64> {
        match self.reply().await? {
            Reply::Integer(value) => Ok(value),
            other => bail!("redis answered {other:?} where a number was expected"),
        }
    }

    async fn reply(&mut self) -> Result<Reply> {
        loop {
            if let Some((reply, len)) = parse(&self.input)? {
                // One question at a time: what is consumed is all there is.
                let _ = self.input.split_to(len);
                if self.input.is_empty() {
                    self.input.clear();
                }
                return Ok(reply);
            }
            self.input.reserve(1024);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("redis closed the connection");
            }
        }
    }
}

impl Connection for RedisConnection {
    type Hold = RedisHold;

    async fn reserve(&mut self, sku: u32, quantity: u8) -> Result<Option<RedisHold>> {
        let id = self.ids.next_text();
        self.reserve.put_sku(3, sku);
        self.reserve.put(4, &id);
        self.reserve.put(5, &[b'0' + quantity]);
        self.stream.write_all(&self.reserve.bytes).await?;
        Ok((self.integer().await? == 1).then_some(RedisHold { id, sku }))
    }

    /// One write of all commands, as pipelining clients do.
    async fn reserve_batch(&mut self, lines: &[(u32, u8)]) -> Result<Vec<bool>> {
        let mut commands = Vec::with_capacity(lines.len() * self.reserve.bytes.len());
        for &(sku, quantity) in lines {
            let id = self.ids.next_text();
            self.reserve.put_sku(3, sku);
            self.reserve.put(4, &id);
            self.reserve.put(5, &[b'0' + quantity]);
            commands.extend_from_slice(&self.reserve.bytes);
        }
        // Both ways at once: a server that waits for us to read would wait for ever otherwise.
        let (mut receive, mut send) = self.stream.split();
        let sending = async { Ok(send.write_all(&commands).await?) };
        let receiving = async {
            let mut held = Vec::with_capacity(lines.len());
            while held.len() < lines.len() {
                match parse(&self.input)? {
                    Some((Reply::Integer(answer), len)) => {
                        self.input.advance(len);
                        held.push(answer == 1);
                    }
                    Some((other, _)) => bail!("redis answered a reserve with {other:?}"),
                    None => {
                        self.input.reserve(1024);
                        if receive.read_buf(&mut self.input).await? == 0 {
                            bail!("redis closed the connection");
                        }
                    }
                }
            }
            Ok(held)
        };
        tokio::try_join!(sending, receiving).map(|((), held)| held)
    }

    async fn settle(&mut self, hold: RedisHold, how: Settle) -> Result<()> {
        let command = match how {
            Settle::Confirm => {
                self.confirm.put(3, &hold.id);
                &self.confirm
            }
            Settle::Cancel => {
                self.cancel.put_sku(3, hold.sku);
                self.cancel.put(4, &hold.id);
                &self.cancel
            }
        };
        self.stream.write_all(&command.bytes).await?;
        match self.integer().await? {
            1 => Ok(()),
            _ => bail!(
                "redis has no live hold {}",
                String::from_utf8_lossy(&hold.id)
            ),
        }
    }

    async fn check(&mut self, sku: u32) -> Result<u64> {
        self.check.put_sku(1, sku);
        self.stream.write_all(&self.check.bytes).await?;
        match self.reply().await? {
            Reply::Text(Some(units)) => Ok(units.parse()?),
            other => bail!("redis answered GET with {other:?}"),
        }
    }
}

fn sku_key(sku: u32) -> String {
    format!("s:{sku:07}")
}

/// A command in RESP whose words can be overwritten by others of the same length.
#[derive(Default)]
struct Command {
    bytes: Vec<u8>,
    words: Vec<usize>,
}

impl Command {
    fn new(words: &[&str]) -> Self {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        let mut at = Vec::with_capacity(words.len());
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            at.push(bytes.len());
            bytes.extend(word.bytes());
            bytes.extend(b"\r\n");
        }
        Self { bytes, words: at }
    }

    fn put(&mut self, word: usize, value: &[u8]) {
        let at = self.words[word];
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    fn put_sku(&mut self, word: usize, mut sku: u32) {
        let at = self.words[word];
        for digit in (at + 2..at + SKU_LEN).rev() {
            self.bytes[digit] = b'0' + (sku % 10) as u8;
            sku /= 10;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Integer(i64),
    Text(Option<String>),
}

/// One reply and its length, or nothing while it is incomplete.
fn parse(input: &[u8]) -> Result<Option<(Reply, usize)>> {
    let Some(end) = input.windows(2).position(|w| w == b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&input[1..end])?;
    let after = end + 2;
    Ok(match input[0] {
        b':' => Some((Reply::Integer(line.parse()?), after)),
        b'+' => Some((Reply::Text(Some(line.to_owned())), after)),
        b'-' => bail!("redis: {line}"),
        b'$' => {
            let Ok(len) = usize::try_from(line.parse::<i64>()?) else {
                return Ok(Some((Reply::Text(None), after)));
            };
            if input.len() < after + len + 2 {
                return Ok(None);
            }
            let text = String::from_utf8_lossy(&input[after..after + len]).into_owned();
            Some((Reply::Text(Some(text)), after + len + 2))
        }
        other => bail!("redis sent a reply of kind {:?}", other as char),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prebuilt_command_is_what_a_fresh_one_would_be() {
        let mut command = Command::new(&["GET", &sku_key(0)]);
        command.put_sku(1, 42_017);
        assert_eq!(command.bytes, Command::new(&["GET", "s:0042017"]).bytes);
        assert_eq!(command.bytes, b"*2\r\n$3\r\nGET\r\n$9\r\ns:0042017\r\n");
    }

    #[test]
    fn replies_are_read_only_when_complete() {
        type Case = (&'static [u8], Option<(Reply, usize)>);
        let cases: [Case; 6] = [
            (b":1\r\n", Some((Reply::Integer(1), 4))),
            (b":1\r", None),
            (b"+OK\r\n", Some((Reply::Text(Some("OK".into())), 5))),
            (
                b"$3\r\nabc\r\n:7",
                Some((Reply::Text(Some("abc".into())), 9)),
            ),
            (b"$3\r\nab", None),
            (b"$-1\r\n", Some((Reply::Text(None), 5))),
        ];
        for (input, expected) in cases {
            assert_eq!(
                parse(input).unwrap(),
                expected,
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
        assert!(
            parse(b"-ERR no\r\n")
                .unwrap_err()
                .to_string()
                .contains("ERR no")
        );
    }
}
