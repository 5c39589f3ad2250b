//! Signed URLs, as an answer to a start holds them.

use std::collections::BTreeMap;
use std::time::Duration;

use strandline_server::keys::{Role, SecretFile};
use strandline_server::settings::{ManagementUrls, Settings};

use super::place::{API, LONG, Place};

/// The management URLs of an instance by name, as paths.
type Urls = BTreeMap<String, String>;

const GET: &str = "statusQueryGetUri";
const TERMINATE: &str = "terminatePostUri";

/// Starts an instance with a key.
async fn started(place: &Place, key: &str, hub: &str, id: &str) -> Urls {
    let path = format!("{API}/orchestrators/Order/{id}?taskHub={hub}");
    let answer = place.send("POST", &path, &[("x-functions-key", key)]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    urls(&answer.body)
}

fn urls(body: &str) -> Urls {
    let mut urls: Urls = serde_json::from_str(body).unwrap();
    urls.remove("id");
    for url in urls.values_mut() {
        let at = url.find("/runtime/").unwrap_or_else(|| panic!("{url}"));
        *url = url[at..].replace("{text}", "enough").replace("{eventName}", "Approval");
    }
    urls
}

async fn get(place: &Place, path: &str) -> u16 {
    place.send("GET", path, &[]).await.status
}

async fn post(place: &Place, path: &str) -> u16 {
    place.send("POST", path, &[]).await.status
}

#[tokio::test]
async fn each_url_does_what_it_is_for_and_nothing_else() {
    let place = Place::keyed(Settings::default()).await;
    let (key, _) = place.key(Role::Client, "*", &[]).await;
    let urls = started(&place, key.reveal(), "orders", "7").await;
    let other = started(&place, key.reveal(), "orders", "8").await;
    started(&place, key.reveal(), "default", "7").await;
    assert!(urls.values().all(|url| url.contains("sig=") && !url.contains("code=")), "{urls:?}");
    assert_eq!(get(&place, &urls[GET]).await, 202);
    assert_eq!(get(&place, &format!("{}&showHistory=true", urls[GET])).await, 202);

    // Another instance, another hub, none.
    for (from, to) in [
        ("/instances/7", "/instances/8"),
        ("taskHub=orders", "taskHub=default"),
        ("/instances/7", "/instances"),
    ] {
        let moved = urls[GET].replace(from, to);
        assert_ne!(moved, urls[GET]);
        assert_eq!(get(&place, &moved).await, 401, "{moved}");
    }
    // Another operation with the same signature, and what was changed of it.
    let sig = |name: &str| urls[name].split_once("sig=").unwrap().1.split('&').next().unwrap().to_owned();
    let other_operation = urls[TERMINATE].replace(&sig(TERMINATE), &sig(GET));
    assert_eq!(post(&place, &other_operation).await, 403);
    let renamed = urls[TERMINATE].replace(&sig(TERMINATE), &sig(GET).replace("read", "terminate"));
    assert_eq!(post(&place, &renamed).await, 401);
    let signature = sig(GET);
    let until = signature.split('.').nth(2).unwrap();
    let longer = urls[GET].replace(until, &(until.parse::<i64>().unwrap() + 1).to_string());
    assert_eq!(get(&place, &longer).await, 401);
    let unsigned = urls[GET].replace(&signature, "");
    assert_eq!(get(&place, &unsigned).await, 401);
    let start = format!("{API}/orchestrators/Order?taskHub=orders&sig={signature}");
    assert_eq!(post(&place, &start).await, 401);

    // What each is for.
    assert_eq!(post(&place, &urls["suspendPostUri"]).await, 202);
    assert_eq!(post(&place, &urls["resumePostUri"]).await, 202);
    assert_eq!(post(&place, &urls[TERMINATE]).await, 202);
    let over = async { while get(&place, &urls[GET]).await != 200 {} };
    tokio::time::timeout(LONG, over).await.expect("not terminated");
    assert_eq!(get(&place, &other[GET]).await, 202, "the other one goes on");
    // Who restarts it may look at what becomes of it, and do nothing else.
    let answer = place.send("POST", &urls["restartPostUri"], &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let copy = self::urls(&answer.body);
    assert_eq!(get(&place, &copy[GET]).await, 202);
    assert_eq!(post(&place, &copy[TERMINATE]).await, 401);
    assert_eq!(place.send("DELETE", &urls["purgeHistoryDeleteUri"], &[]).await.status, 200);
    assert_eq!(get(&place, &urls[GET]).await, 404);
    place.stop().await;
}

/// A key for one function sees what it started, by its URLs.
#[tokio::test]
async fn a_key_for_a_function_gets_urls() {
    let place = Place::keyed(Settings::default()).await;
    let (key, entry) = place.key(Role::Client, "orders", &["Order"]).await;
    let urls = started(&place, key.reveal(), "orders", "1").await;
    assert_eq!(get(&place, &format!("{API}/instances/1?code={}", key.reveal())).await, 403);
    assert_eq!(get(&place, &urls[GET]).await, 202);
    let refused = place.send("POST", &format!("{API}/orchestrators/Refund?code={}", key.reveal()), &[]).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    // URLs outlive keys.
    place.keys.revoke(std::slice::from_ref(&entry.id)).unwrap();
    let path = format!("{API}/instances/1?code={}", key.reveal());
    let revoked = async { while get(&place, &path).await != 401 {} };
    tokio::time::timeout(LONG, revoked).await.expect("still good");
    assert_eq!(get(&place, &urls[GET]).await, 202);
    place.stop().await;
}

#[tokio::test]
async fn urls_end_by_time_and_with_their_secrets() {
    let mut settings = Settings::default();
    settings.auth.signed_url_lifetime = Duration::from_secs(1);
    let place = Place::keyed(settings).await;
    let (key, _) = place.key(Role::Client, "*", &[]).await;
    let urls = started(&place, key.reveal(), "orders", "1").await;
    let over = async { while get(&place, &urls[GET]).await != 401 {} };
    tokio::time::timeout(LONG, over).await.expect("still good");
    place.stop().await;

    let place = Place::keyed(Settings::default()).await;
    let (key, _) = place.key(Role::Client, "*", &[]).await;
    let first = started(&place, key.reveal(), "orders", "1").await;
    let secrets = SecretFile::in_directory(place.dir.path());
    secrets.rotate().unwrap();
    assert_eq!(get(&place, &first[GET]).await, 202, "the secret before is good, too");
    secrets.rotate().unwrap();
    let over = async { while get(&place, &first[GET]).await != 401 {} };
    tokio::time::timeout(LONG, over).await.expect("still good");
    place.stop().await;
}

#[tokio::test]
async fn urls_carry_the_key_where_that_is_wanted_and_nothing_where_there_is_none() {
    let mut settings = Settings::default();
    settings.auth.management_urls = ManagementUrls::CallersKey;
    let place = Place::keyed(settings).await;
    let (key, _) = place.key(Role::Client, "*", &[]).await;
    let urls = started(&place, key.reveal(), "orders", "1").await;
    assert!(
        urls.values().all(|url| url.contains(&format!("code={}", key.reveal())) && !url.contains("sig="))
    );
    assert_eq!(get(&place, &urls[GET]).await, 202);
    // A key that only starts this function would open none of them.
    let (limited, _) = place.key(Role::Client, "*", &["Order"]).await;
    let urls = started(&place, limited.reveal(), "orders", "2").await;
    assert!(urls.values().all(|url| url.contains("sig=") && !url.contains("code=")), "{urls:?}");
    assert_eq!(get(&place, &urls[GET]).await, 202);
    place.stop().await;

    let place = Place::new(Settings::default()).await;
    let urls = started(&place, "none-is-needed", "orders", "1").await;
    assert!(urls.values().all(|url| !url.contains("code=") && !url.contains("sig=")), "{urls:?}");
    assert_eq!(get(&place, &urls[GET]).await, 202);
    place.stop().await;
}
