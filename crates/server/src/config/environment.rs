//! Settings in the environment: `STRANDLINE__HUB__NAME`.

use std::ffi::OsString;

use super::fault::What;
use super::keys::Keys;
use super::{Fault, Layer, Said};
use crate::settings::Source;

/// What the variables of settings begin with; levels are told apart by two underscores, too.
const PREFIX: &str = "STRANDLINE__";

/// The variables that were there before all settings could be said.
const SHORT: [(&str, &str); 3] = [
    ("STRANDLINE_DIR", "server.dir"),
    ("STRANDLINE_LISTEN", "server.listen"),
    ("STRANDLINE_KEYS", "server.keys"),
];

/// What the environment says, and what is wrong with it. A variable without a value says nothing.
pub(super) fn layer(variables: impl IntoIterator<Item = (OsString, OsString)>) -> (Layer, Vec<Fault>) {
    let (mut layer, mut faults) = (Layer::new(), Vec::new());
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|_| !value.is_empty()) else { continue };
        let Some(path) = path(name) else { continue };
        let source = Source::Environment(name.to_owned());
        let mut fault = |what| faults.push(Fault { source_of_it: source.clone(), what });
        let keys = Keys::all();
        match (keys.key(&path), value.to_str()) {
            (Some(_), None) => fault(What::NotText),
            (Some(key), Some(text)) => {
                if let Some(other) = layer.get(&path) {
                    let Said { source: other, .. } = other;
                    fault(What::Twice { key: path, other: other.clone() });
                } else {
                    layer.insert(path, Said { value: key.read(text), source });
                }
            }
            (None, _) => {
                let nearest = keys.nearest(&path).map(variable);
                fault(What::Unknown { key: path, nearest });
            }
        }
    }
    (layer, faults)
}

/// The setting that a variable is for.
fn path(name: &str) -> Option<String> {
    let short = SHORT.iter().find(|(variable, _)| *variable == name).map(|(_, path)| (*path).to_owned());
    short.or_else(|| Some(name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".")))
}

/// The variable that is for a setting.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}
