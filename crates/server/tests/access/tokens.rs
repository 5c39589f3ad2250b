//! Tokens of an identity provider.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use strandline_proto::wire;
use strandline_server::settings::{Jwt, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Code;

use super::place::{API, LONG, Place, with_key};

const RSA: &[u8] = include_bytes!("rsa.pem");

/// A key that tokens are signed with.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

/// An identity provider.
struct Provider {
    name: String,
    /// What it says its keys are.
    keys: Arc<Mutex<Vec<Value>>>,
    serving: JoinHandle<()>,
}

impl Signer {
    fn rs256(kid: &'static str) -> Self {
        Self { kid, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_pem(RSA).unwrap() }
    }

    fn es256(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { kid, algorithm: Algorithm::ES256, key }
    }

    fn eddsa(kid: &'static str) -> Self {
        // A private key as PKCS#8 has it: what it is, and 32 bytes.
        let kind = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let key = EncodingKey::from_ed_der(&[&kind[..], &[7; 32]].concat());
        Self { kid, algorithm: Algorithm::EdDSA, key }
    }

    fn public(&self) -> Value {
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(key).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

impl Provider {
    async fn new(signers: &[&Signer]) -> Self {
        let keys = Arc::new(Mutex::new(signers.iter().map(|signer| signer.public()).collect::<Vec<_>>()));
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let name = format!("http://{}/realm", listener.local_addr().unwrap());
        let configuration = json!({"issuer": name, "jwks_uri": format!("{name}/keys")}).to_string();
        let told = keys.clone();
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(async move || configuration))
            .route("/realm/keys", get(async move || json!({"keys": *told.lock()}).to_string()));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { name, keys, serving }
    }

    async fn place(&self) -> Place {
        let mut settings = Settings::default();
        settings.auth.jwt = Jwt {
            issuer: Some(self.name.clone()),
            audiences: vec!["strandline".to_owned()],
            refresh_pause: Duration::ZERO,
            ..Jwt::default()
        };
        Place::new(settings).await
    }

    fn claims(&self) -> Value {
        let now = now();
        json!({
            "iss": self.name, "aud": ["other", "strandline"], "sub": "ann", "iat": now, "nbf": now, "exp": now + 600,
            "roles": ["client"], "hubs": ["orders"],
        })
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn changed(claims: &Value, change: &[(&str, Value)]) -> Value {
    let mut claims = claims.clone();
    for (name, value) in change {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(*name)),
            value => claims[*name] = value.clone(),
        }
    }
    claims
}

async fn status(place: &Place, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let path = format!("{API}/makeprimary?taskHub=orders");
    place.send("POST", &path, &[("authorization", &bearer)]).await.status
}

#[tokio::test]
async fn a_token_lets_in_what_it_says() {
    let signers = [Signer::rs256("rsa"), Signer::es256("ec"), Signer::eddsa("ed")];
    let provider = Provider::new(&signers.each_ref()).await;
    let place = provider.place().await;
    let claims = provider.claims();
    for signer in &signers {
        assert_eq!(status(&place, &signer.sign(&claims)).await, 200, "{:?}", signer.algorithm);
    }
    let [_, signer, _] = &signers;
    assert_eq!(status(&place, &signer.sign(&changed(&claims, &[("roles", json!(["reader"]))]))).await, 403);
    assert_eq!(status(&place, &signer.sign(&changed(&claims, &[("roles", Value::Null)]))).await, 403);
    assert_eq!(status(&place, &signer.sign(&changed(&claims, &[("hubs", json!("default"))]))).await, 404);
    assert_eq!(status(&place, &signer.sign(&changed(&claims, &[("hubs", Value::Null)]))).await, 404);
    assert_eq!(status(&place, &signer.sign(&changed(&claims, &[("hubs", json!(["*"]))]))).await, 200);
    // The same for gRPC. Without a hub it is the token's.
    let started = place.start(&signer.sign(&claims), "Order", "1").await;
    assert_eq!(started.unwrap(), "1");
    assert_eq!(place.start("a.b.c", "Order", "2").await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(
        place.send("POST", &format!("{API}/makeprimary"), &[]).await.status,
        401,
        "nobody gets in without"
    );
    place.stop().await;
}

#[tokio::test]
async fn what_is_not_a_token_of_the_issuer_for_us_and_now_is_refused() {
    let signer = Signer::es256("ec");
    let rsa = Signer::rs256("rsa");
    let provider = Provider::new(&[&signer, &rsa]).await;
    let place = provider.place().await;
    let claims = provider.claims();
    let sign = |change: &[(&str, Value)]| signer.sign(&changed(&claims, change));
    let parts = |header: Value, claims: &Value| {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", text(&header), text(claims))
    };
    let stranger = Signer::es256("ec");
    let unsigned = parts(json!({"alg": "none", "kid": "ec"}), &claims);
    // As if the public key, which everybody knows, were a secret to sign with.
    let public = rsa.public()["n"].as_str().unwrap().to_owned();
    let header = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&header, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let good = sign(&[]);
    let (front, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = front.split_once('.').unwrap();
    let other_claims = changed(&claims, &[("roles", json!(["admin"]))]);
    let tampered = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(other_claims.to_string()));
    let kid = Some("ec".to_owned());
    let critical = Header { kid, crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::ES256) };
    let rsa_header = Header { kid: Some("ec".to_owned()), ..Header::new(Algorithm::RS256) };
    let sets = [
        ("expired", sign(&[("exp", json!(now() - 61))])),
        ("never expires", sign(&[("exp", Value::Null)])),
        ("expires at no time", sign(&[("exp", json!("soon"))])),
        ("not yet", sign(&[("nbf", json!(now() + 120))])),
        ("for others", sign(&[("aud", json!("other"))])),
        ("for nobody", sign(&[("aud", Value::Null)])),
        ("of others", sign(&[("iss", json!("http://evil.example"))])),
        ("of nobody", sign(&[("iss", Value::Null)])),
        ("by a stranger's key", stranger.sign(&claims)),
        ("by an unknown key", Signer { kid: "new", ..Signer::es256("new") }.sign(&claims)),
        ("unsigned", format!("{unsigned}.")),
        ("unsigned, with a signature", format!("{unsigned}.{signature}")),
        ("HS256 with the public key", confused),
        ("with what must be understood", encode(&critical, &claims, &signer.key).unwrap()),
        ("by a key of another kind", encode(&rsa_header, &claims, &rsa.key).unwrap()),
        ("changed", tampered),
        ("cut", good[..good.len() - 2].to_owned()),
        ("dots", "..".to_owned()),
    ];
    for (what, token) in sets {
        assert_eq!(status(&place, &token).await, 401, "{what}");
        assert_eq!(
            place.start(&token, "Order", "").await.unwrap_err().code(),
            Code::Unauthenticated,
            "{what}"
        );
    }
    // Clocks may differ a little.
    assert_eq!(status(&place, &sign(&[("exp", json!(now() - 30)), ("nbf", json!(now() + 30))])).await, 200);
    assert_eq!(status(&place, &sign(&[("nbf", Value::Null)])).await, 200);
    place.stop().await;
}

#[tokio::test]
async fn keys_change_and_what_is_known_outlives_the_issuer() {
    let (old, new) = (Signer::es256("old"), Signer::eddsa("new"));
    let provider = Provider::new(&[&old]).await;
    let place = provider.place().await;
    let claims = provider.claims();
    assert_eq!(status(&place, &old.sign(&claims)).await, 200);
    assert_eq!(status(&place, &new.sign(&claims)).await, 401);
    *provider.keys.lock() = vec![json!({"kty": "strange"}), new.public()];
    assert_eq!(status(&place, &new.sign(&claims)).await, 200, "an unknown key is looked for");
    assert_eq!(status(&place, &old.sign(&claims)).await, 401, "the issuer took it back");
    provider.serving.abort();
    let _ = provider.serving.await;
    assert_eq!(status(&place, &old.sign(&claims)).await, 401);
    assert_eq!(status(&place, &new.sign(&claims)).await, 200, "nobody is there to ask");
    place.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let signer = Signer::es256("ec");
    let provider = Provider::new(&[&signer]).await;
    let place = provider.place().await;
    // Over already, but for the minute that clocks may differ by.
    let change = [("exp", json!(now() - 57)), ("nbf", Value::Null), ("roles", json!(["worker"]))];
    let token = signer.sign(&changed(&provider.claims(), &change));
    let mut client = place.grpc().await;
    let open = client.get_work_items(with_key(wire::GetWorkItemsRequest::default(), &token)).await;
    let mut items = open.unwrap().into_inner();
    let end = tokio::time::timeout(LONG, items.message()).await.unwrap().unwrap_err();
    assert_eq!(end.code(), Code::Unauthenticated, "{end}");
    assert!(end.message().contains("token expired"), "{end}");
    place.stop().await;
}
