//! `strandline config`: shows, checks and makes configurations.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use super::args::Scope;
use super::host_json::{self, Verdict};
use super::load::load_alone;
use super::show::{self, Origins};
use super::{ConfigArgs, ConfigError, ServerFlags, file, keys, shown};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;

/// Shows, checks and makes the configuration of a server.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  strandline config example > strandline.toml
  strandline config check strandline.toml
  strandline config show --sources
  STRANDLINE__HUB__PARTITIONS=8 strandline config show -o json
  strandline config import host.json -o strandline.toml";

#[derive(Subcommand)]
enum Command {
    /// Shows the settings that a server would run with if it were started like this.
    Show(Show),
    /// Tells whether a configuration is right; everything that is wrong is named.
    Check(Check),
    /// Prints a configuration file with all settings, what they mean and what they are if nobody says.
    Example,
    /// Prints the JSON schema of configuration files, for editors.
    Schema,
    /// Makes a configuration file of what the host.json of an Azure Functions app says of Durable Functions.
    ///
    /// The file goes to standard output, or where -o says; the report, which names each key and what became
    /// of it, goes to standard error, or to standard output if that is free.
    Import(Import),
}

#[derive(clap::Args)]
struct Show {
    /// Says of each setting where its value comes from.
    #[arg(long)]
    sources: bool,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Format::Toml)]
    output: Format,
    #[command(flatten)]
    flags: Box<ServerFlags>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A configuration file.
    Toml,
    /// An object of objects; with --sources, a list of keys, values and sources.
    Json,
}

#[derive(clap::Args)]
struct Check {
    /// The file to look at, by itself. Without it, all that `serve` would read here.
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "host_json", "set"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(clap::Args)]
struct Import {
    /// The host.json, of version 2.0 or 1.
    #[arg(value_name = "FILE")]
    host_json: PathBuf,
    /// Where to write the configuration; a file that is there is left alone.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Carries out the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Show(Show { sources, output, flags, config }) => {
            let settings = config.load(*flags, Scope::Server).map_err(ConfigError::into_failure)?;
            print(&match output {
                Format::Toml => show::toml(&settings, if sources { Origins::Told } else { Origins::Silent }),
                Format::Json => json(&settings, sources)?,
            })
        }
        Command::Check(Check { file: Some(path), .. }) => {
            load_alone(&path).map_err(ConfigError::into_failure)?;
            print(&format!("{} is in order\n", path.display()))
        }
        Command::Check(Check { file: None, config }) => {
            config.load(ServerFlags::default(), Scope::Server).map_err(ConfigError::into_failure)?;
            print("the configuration is in order\n")
        }
        Command::Example => print(&show::example()),
        Command::Schema => print(&format!("{:#}\n", keys::schema())),
        Command::Import(Import { host_json, output }) => import(&host_json, output.as_deref()),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout().lock().write_all(text.as_bytes()).context("standard output is closed")?;
    Ok(())
}

fn json(settings: &Settings, sources: bool) -> Result<String, Failure> {
    let json = if sources {
        serde_json::to_string_pretty(&shown(settings))
    } else {
        serde_json::to_string_pretty(settings)
    };
    Ok(json? + "\n")
}

fn import(path: &Path, output: Option<&Path>) -> Result<(), Failure> {
    let text = file::text(path).map_err(ConfigError::into_failure)?;
    let report = host_json::report(path, &text, &|name| std::env::var(name).ok());
    if !report.faults.is_empty() {
        return Err(ConfigError::Faults(report.faults).into_failure());
    }
    let mut sections = toml::Table::new();
    for finding in &report.findings {
        let Verdict::Honoured { setting, value } = &finding.verdict else { continue };
        let Some((section, name)) = setting.split_once('.') else { continue };
        let section = sections.entry(section).or_insert_with(|| toml::Table::new().into());
        if let Some(section) = section.as_table_mut() {
            section.insert(name.to_owned(), value.clone());
        }
    }
    let made = format!("# Made of {}.\n\n{sections}", path.display());
    match output {
        None => {
            eprint!("{report}");
            print(&made)
        }
        Some(output) => {
            let file = OpenOptions::new().write(true).create_new(true).open(output);
            let exit = |error: &io::Error| match error.kind() {
                io::ErrorKind::AlreadyExists => Exit::Conflict,
                _ => Exit::Error,
            };
            let failed = |error: io::Error| {
                let exit = exit(&error);
                let error =
                    anyhow::Error::new(error).context(format!("{} can't be written", output.display()));
                Failure { exit, error }
            };
            file.and_then(|mut file| file.write_all(made.as_bytes())).map_err(failed)?;
            print(&report.to_string())
        }
    }
}
