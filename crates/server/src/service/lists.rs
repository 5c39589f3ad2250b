//! Pages of lists that fit into one answer.

use std::sync::Arc;

use strandline_engine::runtime::{CallError, Hub, ListError};
use strandline_hub::query::{EntityQuery, InstanceQuery, Query};
use strandline_hub::{EntityStatus, InstanceStatus};

/// Bytes of entries after which a page is closed: most clients of gRPC refuse messages over 4 MiB, and nobody
/// reads more at a time.
pub(crate) const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// How entries are shown, and about how many bytes that takes.
pub(crate) struct Shown<I, T> {
    pub(crate) show: fn(&I) -> T,
    pub(crate) bytes: fn(&T) -> usize,
}

/// Entries of a page as they are shown, and where the next page begins.
pub(crate) type Page<T> = (Vec<T>, Option<String>);

/// A page of at most `size` instances that fits one answer.
pub(crate) async fn instances<T>(
    hub: &Hub,
    query: &Arc<InstanceQuery>,
    token: Option<&str>,
    size: usize,
    shown: Shown<InstanceStatus, T>,
) -> Result<Page<T>, ListError> {
    let page = hub.list(query, token, size).await?;
    Ok(cut(hub, &**query, &page.instances, page.continuation_token, shown).await?)
}

/// As [`instances`], for entities.
pub(crate) async fn entities<T>(
    hub: &Hub,
    query: &Arc<EntityQuery>,
    token: Option<&str>,
    size: usize,
    shown: Shown<EntityStatus, T>,
) -> Result<Page<T>, ListError> {
    let page = hub.list_entities(query, token, size).await?;
    Ok(cut(hub, &**query, &page.entities, page.continuation_token, shown).await?)
}

async fn cut<Q: Query, T>(
    hub: &Hub,
    query: &Q,
    entries: &[Q::Item],
    token: Option<String>,
    Shown { show, bytes }: Shown<Q::Item, T>,
) -> Result<Page<T>, CallError> {
    let fit = fitting(entries.iter().map(show), PAGE_BYTES, bytes);
    let token = token_behind(hub, query, entries, fit.len(), token).await?;
    Ok((fit, token))
}

/// Where the page behind the first `fit` entries of one begins; `token` is where the one behind all of them does.
pub(crate) async fn token_behind<Q: Query>(
    hub: &Hub,
    query: &Q,
    entries: &[Q::Item],
    fit: usize,
    token: Option<String>,
) -> Result<Option<String>, CallError> {
    match fit.checked_sub(1).and_then(|last| entries.get(last)) {
        Some(last) if fit < entries.len() => Ok(Some(hub.token_after(query, last).await?)),
        _ => Ok(token),
    }
}

/// The entries that fit one page of so many bytes, the first whatever its size. Those behind them are not even
/// made.
pub(crate) fn fitting<T>(
    entries: impl Iterator<Item = T>,
    bytes_max: usize,
    bytes: impl Fn(&T) -> usize,
) -> Vec<T> {
    let (mut fit, mut sum) = (Vec::new(), 0);
    for entry in entries {
        sum += bytes(&entry);
        if sum > bytes_max && !fit.is_empty() {
            break;
        }
        fit.push(entry);
    }
    fit
}

/// What the ids of entities begin with, in the form they are kept in: names in lower case, keys as they are.
pub(crate) fn entity_prefix(prefix: &str) -> String {
    match prefix.strip_prefix('@').and_then(|rest| rest.split_once('@')) {
        Some((name, key)) => format!("@{}@{key}", name.to_lowercase()),
        None => prefix.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_by_bytes_but_never_empty() {
        let count = |sizes: &[usize]| fitting(sizes.iter(), PAGE_BYTES, |size| **size).len();
        assert_eq!(count(&[10, 10]), 2);
        assert_eq!(count(&[PAGE_BYTES / 2, PAGE_BYTES / 3, PAGE_BYTES / 2]), 2);
        assert_eq!(count(&[PAGE_BYTES * 2, 1]), 1);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn prefixes_fold_names_only() {
        assert_eq!(entity_prefix("@Counter@Key"), "@counter@Key");
        assert_eq!(entity_prefix("@Count"), "@count");
    }
}
