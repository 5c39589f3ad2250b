//! What is printed: tables for people, JSON and ids for programs.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width};
use serde::Serialize;

use super::error::Error;
use super::time::TimeStyle;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Wide,
    Json,
    Jsonl,
    Id,
}

/// Prints in the format that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    pub(super) format: Format,
    pub(super) time: TimeStyle,
    quiet: bool,
    colour: bool,
}

impl Printer {
    pub(super) fn new(format: Format, time: TimeStyle, quiet: bool, no_color: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = !no_color && wanted && io::stdout().is_terminal();
        Self { format, time, quiet, colour }
    }

    /// A line of the result.
    pub(super) fn line(&self, line: impl Display) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// What is no part of the result, on stderr.
    pub(super) fn note(&self, note: impl Display) {
        if !self.quiet {
            // Nobody may be listening.
            let _ = writeln!(io::stderr().lock(), "{note}");
        }
    }

    /// One thing: its line or lines in tables.
    pub(super) fn one<T: Item>(&self, item: &T, table: impl Display) -> Result<(), Error> {
        match self.format {
            Format::Table | Format::Wide => self.line(table),
            Format::Json | Format::Jsonl => self.line(self.json(item)?),
            Format::Id => self.line(item.id()),
        }
    }

    pub(super) fn json(&self, value: &impl Serialize) -> Result<String, Error> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(value),
            _ => serde_json::to_string(value),
        };
        text.map_err(|error| Error::Output(error.into()))
    }

    /// Begins a list.
    pub(super) fn list<T: Item>(&self) -> List<'_, T> {
        List { printer: self, printed: 0, widths: Vec::new(), items: std::marker::PhantomData }
    }
}

/// What lists consist of.
pub(super) trait Item: Serialize {
    /// Column titles; those from [`Item::WIDE_FROM`] on are shown in wide tables only.
    const COLUMNS: &'static [&'static str];
    const WIDE_FROM: usize;
    fn id(&self) -> &str;
    /// A cell for each column.
    fn row(&self, time: TimeStyle) -> Vec<Cell>;
}

/// A list under way; any number of items, page by page.
pub(super) struct List<'a, T> {
    printer: &'a Printer,
    printed: usize,
    /// Of the pages before, so that columns stay where they are.
    widths: Vec<u16>,
    items: std::marker::PhantomData<T>,
}

impl<T: Item> List<'_, T> {
    /// How many were printed.
    pub(super) fn printed(&self) -> usize {
        self.printed
    }

    pub(super) fn page(&mut self, items: &[T]) -> Result<(), Error> {
        match self.printer.format {
            Format::Table | Format::Wide => {
                let first = self.printed == 0;
                if !items.is_empty() {
                    self.printer.line(self.table(items, first))?;
                }
            }
            Format::Json => {
                let mut out = io::stdout().lock();
                for (index, item) in items.iter().enumerate() {
                    let before = if self.printed + index == 0 { "[\n" } else { ",\n" };
                    write!(out, "{before}{}", self.printer.json(item)?)?;
                }
                out.flush()?;
            }
            Format::Jsonl => {
                for item in items {
                    self.printer.line(self.printer.json(item)?)?;
                }
            }
            Format::Id => {
                for item in items {
                    self.printer.line(item.id())?;
                }
            }
        }
        self.printed += items.len();
        Ok(())
    }

    /// Ends it.
    pub(super) fn end(self) -> Result<(), Error> {
        match (self.printer.format, self.printed) {
            (Format::Json, 0) => self.printer.line("[]"),
            (Format::Json, _) => self.printer.line("\n]"),
            _ => Ok(()),
        }
    }

    fn table(&mut self, items: &[T], with_titles: bool) -> String {
        let columns = match self.printer.format {
            Format::Wide => T::COLUMNS,
            _ => T::COLUMNS.get(..T::WIDE_FROM).unwrap_or(T::COLUMNS),
        };
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if self.printer.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if with_titles {
            table.set_header(columns);
        }
        for item in items {
            table.add_row(item.row(self.printer.time).into_iter().take(columns.len()));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if let Some(width) = self.widths.get(index) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
            }
        }
        if self.widths.is_empty() {
            self.widths = table.column_max_content_widths().iter().map(|width| width + 2).collect();
        }
        table.trim_fmt()
    }
}

/// Text as one line of a terminal may show it: no control characters, which could do more than be seen.
pub(super) fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The beginning of a text, on one line.
pub(super) fn preview(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", clean(text.get(..end).unwrap_or(text))),
        None => clean(text),
    }
}

/// A number as people read it: `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stays_on_its_line() {
        assert_eq!(clean("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(preview("héllo wörld", 5), "héllo…");
        assert_eq!(preview("short", 5), "short");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
    }
}
