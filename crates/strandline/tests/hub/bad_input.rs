//! Wrong input gives an error that names the thing and the limit, and changes nothing.

use strandline::prelude::*;
use strandline::{DataDirectory, InstanceNotFound, InvalidRequest};

#[activity]
async fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[orchestrator]
async fn hello(ctx: OrchestrationContext, name: String) -> Result<String> {
    ctx.call(greet, name).await
}

const GO: Event<String> = Event::named("Go");

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_payloads_are_checked() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((greet, hello)).start()?;
    let client = hub.client();
    let start = |id: String| client.start(hello, "x".to_owned()).instance_id(id);
    for (id, what) in [
        (String::new(), "empty"),
        ("x".repeat(257), "257 bytes"),
        ("@counter@a".to_owned(), "entities"),
        ("a\u{7}".to_owned(), "control"),
    ] {
        let error = start(id).await.unwrap_err();
        assert!(error.message().contains(what), "{error}");
    }
    let large = "x".repeat(16 * 1024 * 1024);
    let error = client.start(hello, large.clone()).instance_id("large").await.unwrap_err();
    assert!(error.is::<InvalidRequest>() && error.message().contains("input has 16777218 bytes"), "{error}");
    assert!(client.instance::<String>("large")?.status().await?.is_none());
    let error = client.start(hello, String::new()).tag("k".repeat(129), "v").await.unwrap_err();
    assert!(error.message().contains("key of a tag has 129 bytes"), "{error}");
    let run = start("fine".to_owned()).await?;
    run.output().await?;
    let error = client.instance::<()>("none")?.raise(GO, "x".to_owned()).await.unwrap_err();
    assert!(error.is::<InstanceNotFound>());
    let error = run.terminate("r".repeat(5000)).await.unwrap_err();
    assert!(error.message().contains("reason has 5000 bytes"), "{error}");
    Ok(())
}

#[activity]
async fn huge() -> Result<String> {
    Ok("x".repeat(16 * 1024 * 1024))
}

#[orchestrator]
async fn wants_huge(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let error = ctx.call(huge, ()).await.unwrap_err();
    Ok(error.message().to_owned())
}

#[orchestrator]
async fn returns_huge(_ctx: OrchestrationContext, _: ()) -> Result<String> {
    Ok("x".repeat(16 * 1024 * 1024))
}

#[tokio::test(flavor = "multi_thread")]
async fn results_over_the_limit_fail_clearly() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((huge, wants_huge, returns_huge)).start()?;
    let text = hub.client().start(wants_huge, ()).await?.output().await?;
    assert!(text.contains("16777218 bytes: the limit is 16777216"), "{text}");
    let error = hub.client().start(returns_huge, ()).await?.output().await.unwrap_err();
    assert!(error.message().contains("the result has 16777218 bytes"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_come_back_byte_for_byte() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let texts =
        [String::new(), "\u{0}\u{1}\"\\".to_owned(), "größe 😀 \u{10ffff}".to_owned(), "y".repeat(3 << 20)];
    {
        let hub = TaskHub::open(dir.path()).await?;
        hub.worker().register((greet, hello)).start()?;
        for (n, text) in texts.iter().enumerate() {
            let run = hub.client().start(hello, text.clone()).instance_id(format!("text-{n}")).await?;
            assert_eq!(run.output().await?, *text);
        }
        hub.close().await?;
    }
    let hub = TaskHub::open(dir.path()).await?;
    for (n, text) in texts.iter().enumerate() {
        let run = hub.client().instance::<String>(&format!("text-{n}"))?;
        assert_eq!(run.output().await?, *text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_are_named() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((greet, hello)).start()?;
    const HELLO: Orchestration<u32, Json> = Orchestration::named("hello");
    let error = hub.client().start(HELLO, 17).await?.output().await.unwrap_err();
    assert!(error.message().contains("the input of orchestrator 'hello'"), "{error}");
    const TYPO: Orchestration<u32, Json> = Orchestration::named("helo");
    let error = hub.client().start(TYPO, 17).await.unwrap_err();
    assert!(error.message().contains("did you mean 'hello'?"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_user_at_a_time() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let first = DataDirectory::open(dir.path()).await?;
    let error = DataDirectory::open(dir.path()).await.unwrap_err();
    let pid = std::process::id().to_string();
    assert!(error.message().contains(&pid), "{error}");
    drop(first);
    DataDirectory::open(dir.path()).await?.close().await?;
    std::fs::write(dir.path().join("other"), "x")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_something_else_is_left_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("letter.txt"), "Dear Sir")?;
    let error = TaskHub::open(dir.path()).await.unwrap_err();
    assert!(error.message().contains("is not a Strandline data directory"), "{error}");
    let names: Vec<_> = std::fs::read_dir(dir.path())?.map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["letter.txt"]);
    let error = DataDirectory::in_memory().open().await?.hub("no spaces please").await.unwrap_err();
    assert!(error.message().contains("no spaces please"), "{error}");
    Ok(())
}
