//! Continuation tokens: a place in a list as text that only its store can make.

use strandline_hub::query::{Cursor, Query};
use strandline_model::{InstanceId, Timestamp};

/// First byte of a token.
const VERSION: u8 = 1;
const BY_CREATED: u8 = 1;
const BY_ID: u8 = 2;
const BY_COMPLETED: u8 = 3;
/// Bytes of the query's hash, and of the mark.
const HASH: usize = 16;
const MARK: usize = 16;

/// Why a text is no continuation token here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("this is no continuation token of this hub: pass on what a page came with, unchanged")]
    Unknown,
    #[error("this continuation token belongs to another query: repeat the query it came from")]
    OtherQuery,
}

/// What a hub makes its tokens with.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    /// The key of one hub of the store that has this secret.
    pub fn new(secret: &[u8; 32], hub: u32) -> Self {
        Self(*blake3::keyed_hash(secret, &hub.to_be_bytes()).as_bytes())
    }

    /// The token for what follows `cursor` in the list of `query`.
    pub fn write(&self, query: &impl Query, cursor: &Cursor) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&hash(query));
        match cursor {
            Cursor::Created { created: time, id } | Cursor::Completed { completed: time, id } => {
                let by_created = matches!(cursor, Cursor::Created { .. });
                bytes.push(if by_created { BY_CREATED } else { BY_COMPLETED });
                bytes.extend_from_slice(&time.seconds.to_be_bytes());
                bytes.extend_from_slice(&time.nanos.to_be_bytes());
                bytes.extend_from_slice(id.as_str().as_bytes());
            }
            Cursor::Id(id) => {
                bytes.push(BY_ID);
                bytes.extend_from_slice(id.as_str().as_bytes());
            }
        }
        let mark = blake3::keyed_hash(&self.0, &bytes);
        bytes.extend_from_slice(&mark.as_bytes()[..MARK]);
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The place that a token of the same query stands for.
    pub fn read(&self, query: &impl Query, token: &str) -> Result<Cursor, InvalidToken> {
        let bytes = unhex(token).ok_or(InvalidToken::Unknown)?;
        let (signed, mark) = bytes.split_last_chunk::<MARK>().ok_or(InvalidToken::Unknown)?;
        let mut expected = [0; MARK];
        expected.copy_from_slice(&blake3::keyed_hash(&self.0, signed).as_bytes()[..MARK]);
        if !constant_time_eq(&expected, mark) {
            return Err(InvalidToken::Unknown);
        }
        let (&version, rest) = signed.split_first().ok_or(InvalidToken::Unknown)?;
        let (of_query, place) = rest.split_first_chunk::<HASH>().ok_or(InvalidToken::Unknown)?;
        if version != VERSION {
            return Err(InvalidToken::Unknown);
        }
        if *of_query != hash(query) {
            return Err(InvalidToken::OtherQuery);
        }
        place_of(place).ok_or(InvalidToken::Unknown)
    }
}

/// Takes as long for any difference, so that a mark can't be guessed byte by byte.
fn constant_time_eq(a: &[u8; MARK], b: &[u8; MARK]) -> bool {
    a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

fn hash(query: &impl Query) -> [u8; HASH] {
    let mut short = [0; HASH];
    short.copy_from_slice(&blake3::hash(&query.canonical()).as_bytes()[..HASH]);
    short
}

fn place_of(place: &[u8]) -> Option<Cursor> {
    let id = |bytes| Some(InstanceId::trusted(std::str::from_utf8(bytes).ok()?));
    match place.split_first()? {
        (order @ &(BY_CREATED | BY_COMPLETED), rest) => {
            let (seconds, rest) = rest.split_first_chunk()?;
            let (nanos, rest) = rest.split_first_chunk()?;
            let time = Timestamp { seconds: i64::from_be_bytes(*seconds), nanos: u32::from_be_bytes(*nanos) };
            let id = id(rest)?;
            Some(match *order {
                BY_CREATED => Cursor::Created { created: time, id },
                _ => Cursor::Completed { completed: time, id },
            })
        }
        (&BY_ID, rest) => Some(Cursor::Id(id(rest)?)),
        _ => None,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair.first()?)? << 4 | digit(pair.get(1)?)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use strandline_hub::query::{InstanceQuery, Order};

    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32], 1)
    }

    #[test]
    fn tokens_bring_back_their_place() {
        let id = InstanceId::trusted("größe 😀");
        let created = Timestamp { seconds: -5, nanos: 999_999_999 };
        let by_id = InstanceQuery { id_prefix: Some("g".into()), ..InstanceQuery::default() };
        let all = InstanceQuery::default();
        let by_completed = InstanceQuery { order_by: Some(Order::Completed), ..InstanceQuery::default() };
        for (query, cursor) in [
            (&all, Cursor::Created { created, id: id.clone() }),
            (&by_id, Cursor::Id(id.clone())),
            (&by_completed, Cursor::Completed { completed: created, id: id.clone() }),
        ] {
            assert_eq!(key().read(query, &key().write(query, &cursor)), Ok(cursor));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let cursor = Cursor::Id(InstanceId::trusted("i-1"));
        let query = InstanceQuery { id_prefix: Some("i".into()), ..InstanceQuery::default() };
        let token = key().write(&query, &cursor);
        for text in ["", "0", "zz", "ä", "00", &token[2..], &token[..token.len() - 2], &format!("{token}00")]
        {
            assert_eq!(key().read(&query, text), Err(InvalidToken::Unknown), "{text}");
        }
        for position in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[position] = if forged[position] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(key().read(&query, &forged), Err(InvalidToken::Unknown));
        }
        for other in [TokenKey::new(&[8; 32], 1), TokenKey::new(&[7; 32], 2)] {
            assert_eq!(other.read(&query, &token), Err(InvalidToken::Unknown));
        }
    }

    #[test]
    fn tokens_belong_to_their_query() {
        let query = InstanceQuery { name: Some("a".into()), ..InstanceQuery::default() };
        let cursor = Cursor::Created { created: Timestamp::EPOCH, id: InstanceId::trusted("i") };
        let token = key().write(&query, &cursor);
        let text = |t: &str| Some(t.to_owned());
        let others = [
            InstanceQuery::default(),
            InstanceQuery { name: text("b"), ..InstanceQuery::default() },
            InstanceQuery { id_prefix: text("a"), ..InstanceQuery::default() },
            InstanceQuery {
                name: text("a"),
                created_from: Some(Timestamp::EPOCH),
                ..InstanceQuery::default()
            },
            InstanceQuery { name: text("a"), created_to: Some(Timestamp::EPOCH), ..InstanceQuery::default() },
            InstanceQuery { name: text("a"), order_by: Some(Order::Completed), ..InstanceQuery::default() },
        ];
        for other in others {
            assert_eq!(key().read(&other, &token), Err(InvalidToken::OtherQuery), "{other:?}");
        }
    }
}
