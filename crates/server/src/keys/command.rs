//! `strandline keys`: makes, shows and revokes access keys, whether a server runs or not.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::{
    Functions, HubScope, Key, KeyEntry, KeyFile, KeyFileError, KeyId, NewKey, Note, Role, Roles, SecretFile,
};
use crate::config::{ConfigArgs, ConfigError, Scope, ServerFlags};
use crate::exit::{Exit, Failure};
use crate::settings::ServerSettings;

/// Makes, shows and revokes the access keys of a server.
///
/// A server that has keys lets nobody in without one. Callers send a key as 'authorization: Bearer KEY' or
/// 'x-functions-key: KEY' or, over HTTP, in the URL as '?code=KEY'. Keys stand in a file in the server's
/// directory; a server that runs sees a change within a second.
///
/// To replace a key without a pause, rotate it, hand the new one out, and revoke the old one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Place,
}

const EXAMPLES: &str = "\
Examples:
  strandline keys create --role client,worker --hub orders --note 'orders, production'
  strandline keys create --role admin --expires 90d > admin.key
  strandline keys create --role client --hub orders --function ProcessOrder
  strandline keys list
  strandline keys rotate 4f1c09ab77de --keep 7d
  strandline keys revoke 4f1c09ab77de";

#[derive(clap::Args)]
struct Place {
    /// The server's directory; the keys are in keys.json in it. [default: ./.strandline] [env: STRANDLINE_DIR]
    #[arg(long, global = true, value_name = "PATH")]
    dir: Option<String>,
    /// The file of keys, if it is somewhere else. [env: STRANDLINE_KEYS]
    #[arg(long, global = true, value_name = "FILE")]
    keys: Option<String>,
    /// The server's configuration file, which may say both.
    #[arg(long, global = true, value_name = "FILE", env = "STRANDLINE_CONFIG")]
    config: Option<PathBuf>,
}

impl Place {
    /// Where a server with this configuration has its files.
    fn settings(self) -> Result<ServerSettings, Failure> {
        let Self { dir, keys, config } = self;
        let flags = ServerFlags { dir, keys, ..ServerFlags::default() };
        let settings =
            ConfigArgs::at(config).load(flags, Scope::Server).map_err(ConfigError::into_failure)?;
        Ok(settings.server)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Makes a key and prints it. It is not kept and can't be shown again.
    ///
    /// The key alone goes to standard output, what is to say about it to standard error.
    Create(Create),
    /// Shows which keys there are, without their secrets.
    List(List),
    /// Makes the key that takes the place of another one: for the same roles, hub and functions.
    ///
    /// Both are good until the other one is revoked or, with --keep, over. A key that was replaced is not
    /// replaced again, and one that took another's place only when that is gone: of one line two are good at
    /// a time.
    Rotate(Rotate),
    /// Signs the URLs of instances with a new secret from now on.
    ///
    /// Those that were signed with the one before stay good until this is done again: do it twice if URLs, or
    /// the file with the secrets, got into wrong hands.
    RotateUrls,
    /// Takes keys away. Who uses one is refused within seconds, open streams included.
    Revoke(Revoke),
}

#[derive(clap::Args)]
struct Create {
    /// What the key is for; several with commas, for a program that does both.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ROLE")]
    role: Vec<Role>,
    /// The one task hub it is good for; without this, all.
    #[arg(long, value_name = "NAME", value_parser = HubScope::one)]
    hub: Option<HubScope>,
    /// Functions it is good for; several with commas. It starts these orchestrations and signals these
    /// entities, and does nothing else. For the role client.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    function: Vec<String>,
    /// What to remember of it, such as who has it.
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = |text: &str| Note::try_from(text.to_owned()))]
    note: Note,
    /// When it stops to work: after a time (90d, 12h, 1y), or at one (2027-01-31, RFC 3339); never,
    /// without this.
    #[arg(long, value_name = "WHEN", value_parser = |text: &str| expiry(text, Timestamp::now()))]
    expires: Option<Timestamp>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = KeyFormat::Key)]
    output: KeyFormat,
}

#[derive(clap::Args)]
struct Rotate {
    /// The key to replace: its id, as `list` shows it, or the whole key.
    #[arg(value_name = "ID", value_parser = id)]
    id: KeyId,
    /// How long, or until when, the replaced key stays good; until it is revoked, without this.
    #[arg(long, value_name = "WHEN", value_parser = |text: &str| expiry(text, Timestamp::now()))]
    keep: Option<Timestamp>,
    /// When the new key stops to work; never, without this.
    #[arg(long, value_name = "WHEN", value_parser = |text: &str| expiry(text, Timestamp::now()))]
    expires: Option<Timestamp>,
    /// How to print the new key.
    #[arg(short, long, value_enum, default_value_t = KeyFormat::Key)]
    output: KeyFormat,
}

#[derive(clap::Args)]
struct List {
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
}

#[derive(clap::Args)]
struct Revoke {
    /// Ids of keys, as `list` shows them; a whole key does, too. If one is not there nothing is done.
    #[arg(required = true, value_name = "ID", value_parser = id)]
    ids: Vec<KeyId>,
    /// Does not ask.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyFormat {
    /// The key alone.
    Key,
    /// An object.
    Json,
    /// An object on one line.
    Jsonl,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people.
    Table,
    /// An array.
    Json,
    /// An object a line.
    Jsonl,
    /// An id a line.
    Id,
}

/// A key as JSON shows it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    id: &'a KeyId,
    roles: &'a Roles,
    /// `*` for all.
    hub: &'a HubScope,
    #[serde(skip_serializing_if = "Option::is_none")]
    functions: Option<&'a Functions>,
    note: &'a Note,
    created: Timestamp,
    expires: Option<Timestamp>,
    expired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<&'a KeyId>,
}

impl<'a> Shown<'a> {
    fn new(entry: &'a KeyEntry, now: Timestamp) -> Self {
        let KeyEntry { id, roles, hub, functions, note, created, expires, replaces, .. } = entry;
        let (functions, replaces) = (functions.as_ref(), replaces.as_ref());
        let (created, expires, expired) = (*created, *expires, entry.is_expired(now));
        Self { key: None, id, roles, hub, functions, note, created, expires, expired, replaces }
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args { command, place } = args;
    let server = place.settings()?;
    let file = server.key_file();
    match command {
        Command::Create(args) => create(&file, args),
        Command::List(List { output }) => list(&file, output),
        Command::Rotate(args) => rotate(&file, args),
        Command::RotateUrls => rotate_urls(&SecretFile::in_directory(&server.dir)),
        Command::Revoke(args) => revoke(&file, &args),
    }
}

fn create(file: &KeyFile, args: Create) -> Result<(), Failure> {
    let Create { role, hub, function, note, expires, output } = args;
    let roles = Roles::try_from(role.into_iter().collect::<std::collections::BTreeSet<_>>())?;
    let functions = match function.is_empty() {
        true => None,
        false => Some(Functions::try_from(function).map_err(|error| Failure::new(Exit::Usage, error))?),
    };
    let new = NewKey { roles, hub: hub.unwrap_or(HubScope::All), functions, note, expires };
    let now = now();
    let (key, entry) = file.create(new, now).map_err(failure)?;
    hand_out(file, &key, &entry, output, now)
}

/// Prints a key, and what is to say about it.
fn hand_out(
    file: &KeyFile,
    key: &Key,
    entry: &KeyEntry,
    output: KeyFormat,
    now: Timestamp,
) -> Result<(), Failure> {
    if let Err(error) = print_key(key, entry, output, now) {
        let lost = anyhow::anyhow!(
            "key {} was made and could not be printed: {error}; revoke it and make another",
            entry.id
        );
        return Err(lost.into());
    }
    let until = entry.expires.map_or_else(|| "for ever".into(), |at| format!("until {at}"));
    eprintln!(
        "key {} for {}, good {until}; in {}. It is not shown again.",
        entry.id,
        describe(entry),
        file.path().display()
    );
    Ok(())
}

fn rotate(file: &KeyFile, args: Rotate) -> Result<(), Failure> {
    let Rotate { id, keep, expires, output } = args;
    let now = now();
    let (key, entry, old) = file.rotate(&id, expires, keep, now).map_err(failure)?;
    hand_out(file, &key, &entry, output, now)?;
    let end = match old.expires {
        Some(at) => format!("it ends at {at}, or before that with"),
        None => "when nobody uses it any more, take it away with".to_owned(),
    };
    eprintln!("key {id} stays good meanwhile: {end} `strandline keys revoke {id}`.");
    Ok(())
}

fn rotate_urls(file: &SecretFile) -> Result<(), Failure> {
    file.rotate()?;
    eprintln!(
        "URLs are signed with a new secret, in {}; those that were signed with the one before stay good until \
         the next time.",
        file.path().display()
    );
    Ok(())
}

fn print_key(key: &Key, entry: &KeyEntry, output: KeyFormat, now: Timestamp) -> io::Result<()> {
    let shown = Shown { key: Some(key.reveal()), ..Shown::new(entry, now) };
    let mut out = io::stdout().lock();
    match output {
        KeyFormat::Key => writeln!(out, "{}", key.reveal())?,
        KeyFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?,
        KeyFormat::Jsonl => writeln!(out, "{}", serde_json::to_string(&shown)?)?,
    }
    out.flush()
}

fn list(file: &KeyFile, output: ListFormat) -> Result<(), Failure> {
    let entries = file.read()?;
    let now = now();
    let shown: Vec<Shown<'_>> = entries.iter().map(|entry| Shown::new(entry, now)).collect();
    let mut text = String::new();
    match output {
        ListFormat::Table if entries.is_empty() => eprintln!(
            "there are no keys in {}; `strandline keys create --role ROLE` makes one",
            file.path().display()
        ),
        ListFormat::Table => text = table(&shown),
        ListFormat::Json => text = serde_json::to_string_pretty(&shown)? + "\n",
        ListFormat::Jsonl => {
            for key in &shown {
                text += &(serde_json::to_string(key)? + "\n");
            }
        }
        ListFormat::Id => text = entries.iter().map(|entry| format!("{}\n", entry.id)).collect(),
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Who reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn table(keys: &[Shown<'_>]) -> String {
    let mut rows = vec![["ID", "ROLE", "HUB", "CREATED", "EXPIRES", "NOTE"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        let expires = match key.expires {
            None => "never".to_owned(),
            Some(at) if key.expired => format!("{at} (over)"),
            Some(at) => at.to_string(),
        };
        [
            key.id.to_string(),
            match key.functions {
                Some(names) => format!("{}:{names}", key.roles),
                None => key.roles.to_string(),
            },
            key.hub.to_string(),
            key.created.to_string(),
            expires,
            key.note.as_str().to_owned(),
        ]
    }));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn revoke(file: &KeyFile, args: &Revoke) -> Result<(), Failure> {
    let Revoke { ids, yes } = args;
    if !yes {
        let entries = file.read()?;
        if let Some(id) = ids.iter().find(|id| entries.iter().all(|entry| entry.id != **id)) {
            let (id, path) = (id.clone(), file.path().to_owned());
            return Err(failure(KeyFileError::NotFound { id, path }));
        }
        for entry in entries.iter().filter(|entry| ids.contains(&entry.id)) {
            eprintln!("key {} for {}", entry.id, describe(entry));
        }
        if !agreed("Revoke? Whoever uses it is cut off. [y/N] ")? {
            return Err(anyhow::anyhow!("nothing was revoked").into());
        }
    }
    for entry in file.revoke(ids).map_err(failure)? {
        eprintln!("revoked key {} for {}", entry.id, describe(&entry));
    }
    Ok(())
}

/// Asks who sits at the terminal; where there is none, refuses.
fn agreed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let error = anyhow::anyhow!("there is no terminal to ask on: say -y to revoke without being asked");
        return Err(Failure::new(Exit::Usage, error));
    }
    eprint!("{question}");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn failure(error: KeyFileError) -> Failure {
    let exit = match error {
        KeyFileError::NotFound { .. } => Exit::NotFound,
        KeyFileError::FunctionsOfClients => Exit::Usage,
        _ => Exit::Error,
    };
    Failure::new(exit, error)
}

/// What it is for, where, and its note.
fn describe(entry: &KeyEntry) -> String {
    let hub = match &entry.hub {
        HubScope::All => "all hubs".to_owned(),
        HubScope::One(name) => format!("hub '{name}'"),
    };
    let note = entry.note.as_str();
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    let functions = entry.functions.as_ref().map(|names| format!(" for {names}")).unwrap_or_default();
    format!("{} of {hub}{functions}{note}", entry.roles)
}

/// An id, or the key whose id it is.
fn id(text: &str) -> Result<KeyId, super::NotAnId> {
    match Key::parse(text) {
        Ok(key) => Ok(key.id().clone()),
        Err(_) => KeyId::try_from(text.to_owned()),
    }
}

/// Nobody needs to know it more exactly.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Why a time can't be that of an expiry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NotAnExpiry {
    #[error(
        "say a time span like 90d, 12h or 1y, a day like 2027-01-31, or a time like 2027-01-31T12:00:00Z"
    )]
    Unknown,
    #[error("that is over already")]
    Over,
}

/// When a key expires that is made now; to the second.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, NotAnExpiry> {
    let at = if let Ok(span) = text.parse::<Span>() {
        let then = now.to_zoned(TimeZone::UTC).checked_add(span);
        then.map_err(|_| NotAnExpiry::Unknown)?.timestamp()
    } else if let Ok(at) = text.parse::<Timestamp>() {
        at
    } else {
        let day: Date = text.parse().map_err(|_| NotAnExpiry::Unknown)?;
        day.to_zoned(TimeZone::UTC).map_err(|_| NotAnExpiry::Unknown)?.timestamp()
    };
    let at = Timestamp::from_second(at.as_second()).map_err(|_| NotAnExpiry::Unknown)?;
    if at <= now { Err(NotAnExpiry::Over) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_expiry_is_a_span_or_a_time() {
        let now = at("2026-01-31T12:00:00Z");
        let expiry = |text| expiry(text, now);
        assert_eq!(expiry("90d"), Ok(at("2026-05-01T12:00:00Z")));
        assert_eq!(expiry("12h"), Ok(at("2026-02-01T00:00:00Z")));
        assert_eq!(expiry("1mo"), Ok(at("2026-02-28T12:00:00Z")));
        assert_eq!(expiry("1y 2w"), Ok(at("2027-02-14T12:00:00Z")));
        assert_eq!(expiry("P90D"), Ok(at("2026-05-01T12:00:00Z")));
        assert_eq!(expiry("2027-01-31"), Ok(at("2027-01-31T00:00:00Z")));
        assert_eq!(expiry("2027-01-31T12:00:00.9+02:00"), Ok(at("2027-01-31T10:00:00Z")));
        for over in ["0s", "-1d", "1d ago", "2026-01-31", "2026-01-31T12:00:00Z"] {
            assert_eq!(expiry(over), Err(NotAnExpiry::Over), "{over}");
        }
        for unknown in ["", "90", "soon", "99999y", "2027-02-30"] {
            assert_eq!(expiry(unknown), Err(NotAnExpiry::Unknown), "{unknown}");
        }
    }
}
