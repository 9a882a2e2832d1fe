//! Header blocks (RFC 7541): those of requests are written with what the server's table already holds, those of answers are
//! read once and known again by their bytes.

use anyhow::{Context, Result, anyhow, ensure};
use httlib_hpack::Decoder;

use crate::grpc::{CallError, unescape};

/// Both sides begin with this; what is written here takes far less.
pub const TABLE_BYTES: u32 = 4096;
/// Entry of the static table, or where the newest of the dynamic one is found.
const AUTHORITY: u8 = 1;
const POST: u8 = 3;
const PATH: u8 = 4;
const HTTP: u8 = 6;
const HTTPS: u8 = 7;
const CONTENT_TYPE: u8 = 31;
const NEWEST: usize = 62;
/// First bits of a field: one of the table, or one that goes into it.
const INDEXED: u8 = 0x80;
const INSERTED: u8 = 0x40;
/// A length in one byte, without a flag for Huffman's code.
const TEXT_MAX: usize = 126;

/// Writes the headers of calls on one connection.
pub struct Requests {
    authority: String,
    scheme: u8,
    /// Entries that went into the table, and of which each path is.
    inserted: usize,
    paths: Vec<(Box<str>, usize)>,
}

/// When the headers that all calls have went into the table: with the first call, around its path.
const AUTHORITY_AT: usize = 0;
const CONTENT_TYPE_AT: usize = 2;
const TE_AT: usize = 3;

impl Requests {
    pub fn new(authority: &str, tls: bool) -> Self {
        Self {
            authority: authority.to_owned(),
            scheme: if tls { HTTPS } else { HTTP },
            inserted: 0,
            paths: Vec::new(),
        }
    }

    /// # Errors
    /// The path is longer than any of ours.
    pub fn write(&mut self, path: &str, out: &mut Vec<u8>) -> Result<()> {
        ensure!(path.len() <= TEXT_MAX, "{path} is too long for a method");
        out.extend([INDEXED | POST, INDEXED | self.scheme]);
        let first = self.inserted == 0;
        if first {
            out.push(INSERTED | AUTHORITY);
            text(&self.authority, out);
            self.inserted += 1;
        } else {
            out.push(self.place(AUTHORITY_AT));
        }
        match self.paths.iter().find(|(known, _)| **known == *path) {
            Some(&(_, at)) => out.push(self.place(at)),
            None => {
                out.push(INSERTED | PATH);
                text(path, out);
                self.paths.push((path.into(), self.inserted));
                self.inserted += 1;
            }
        }
        if first {
            out.push(INSERTED | CONTENT_TYPE);
            text("application/grpc", out);
            out.push(INSERTED);
            text("te", out);
            text("trailers", out);
            self.inserted += 2;
        } else {
            out.extend([self.place(CONTENT_TYPE_AT), self.place(TE_AT)]);
        }
        Ok(())
    }

    /// The field of the entry that went into the table after so many others.
    fn place(&self, ordinal: usize) -> u8 {
        INDEXED | (NEWEST + self.inserted - 1 - ordinal) as u8
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

/// What a block says of its call.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    NotYet,
    Ok,
    Failed(CallError),
}

/// Reads the headers and trailers of answers on one connection.
pub struct Answers {
    decoder: Decoder<'static>,
    /// Blocks of entries of the table alone, until the table changes.
    known: Vec<(Box<[u8]>, Status)>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            decoder: Decoder::with_dynamic_size(TABLE_BYTES),
            known: Vec::new(),
        }
    }
}

impl Answers {
    /// # Errors
    /// The block cannot be read, or its status is no number.
    pub fn read(&mut self, block: &[u8]) -> Result<Status> {
        if let Some((_, status)) = self.known.iter().find(|(known, _)| **known == *block) {
            return Ok(status.clone());
        }
        let mut fields = Vec::new();
        self.decoder
            .decode(&mut block.to_vec(), &mut fields)
            .map_err(|error| anyhow!("a header block cannot be read: {error:?}"))?;
        let field = |name: &str| {
            let found = fields.iter().find(|(known, ..)| known == name.as_bytes());
            found.map(|(_, value, _)| String::from_utf8_lossy(value).into_owned())
        };
        let status = match field("grpc-status") {
            None => Status::NotYet,
            Some(code) if code == "0" => Status::Ok,
            Some(code) => Status::Failed(CallError {
                code: tonic::Code::from_i32(
                    code.parse()
                        .with_context(|| format!("grpc-status {code}"))?,
                ),
                message: unescape(
                    &field("grpc-message").unwrap_or_else(|| "no message".to_owned()),
                ),
            }),
        };
        // Bytes with the first bit set are fields of the table, and leave it as it is.
        if block.iter().all(|byte| byte & INDEXED != 0) {
            self.known.push((block.into(), status.clone()));
        } else {
            self.known.clear();
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(decoder: &mut Decoder<'_>, block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        decoder.decode(&mut block.to_vec(), &mut fields).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        fields
            .into_iter()
            .map(|(name, value, _)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn a_decoder_of_others_reads_what_is_written() {
        let mut requests = Requests::new("127.0.0.1:7171", false);
        let mut decoder = Decoder::with_dynamic_size(TABLE_BYTES);
        for path in ["/a.B/C", "/a.B/C", "/a.B/D", "/a.B/C", "/a.B/E", "/a.B/D"] {
            let mut block = Vec::new();
            requests.write(path, &mut block).unwrap();
            let found = read(&mut decoder, &block);
            let expected = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "127.0.0.1:7171"),
                (":path", path),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ];
            assert_eq!(
                found,
                expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
            );
        }
        let mut again = Vec::new();
        requests.write("/a.B/C", &mut again).unwrap();
        assert_eq!(again.len(), 6, "a byte a header");
        assert!(requests.write(&"x".repeat(127), &mut again).is_err());
    }

    #[test]
    fn a_block_is_known_again_only_while_the_table_is_the_same() {
        let mut answers = Answers::default();
        let failed = b"\x40\x0bgrpc-status\x018";
        let Status::Failed(error) = answers.read(failed).unwrap() else {
            panic!("status 8 is no success");
        };
        assert_eq!(error.code, tonic::Code::ResourceExhausted);
        let newest = [INDEXED | NEWEST as u8];
        assert_eq!(
            answers.read(&newest).unwrap(),
            Status::Failed(error.clone())
        );
        assert_eq!(
            answers.read(&newest).unwrap(),
            Status::Failed(error.clone())
        );
        // The same byte means another entry when one more has gone into the table.
        assert_eq!(
            answers.read(b"\x40\x0bgrpc-status\x010").unwrap(),
            Status::Ok
        );
        assert_eq!(answers.read(&newest).unwrap(), Status::Ok);
        assert_eq!(
            answers.read(&[INDEXED | 63]).unwrap(),
            Status::Failed(error)
        );
        assert_eq!(answers.read(&[0x88]).unwrap(), Status::NotYet);
        assert!(answers.read(b"\x40\x0bgrpc-status\x01x").is_err());
    }
}
