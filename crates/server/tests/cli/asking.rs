//! Nothing is done to many instances before somebody agreed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fake::Fake;

#[test]
fn without_a_terminal_a_flag_must_agree() {
    let fake = Fake::start();
    let refused = fake.run(&["terminate", "--name", "Order"]);
    assert_eq!(refused.exit, 2);
    assert_eq!(
        refused.err,
        "error: refusing to terminate 2 instances without being asked to go ahead\n\
         hint: give -y to go ahead, or --dry-run to see what it would be\n"
    );
    assert_eq!(fake.run(&["terminate", "order-1", "order-5"]).exit, 2);
    assert_eq!(fake.run(&["hub", "delete", "orders"]).exit, 2);
    assert!(fake.asked().iter().all(|asked| !asked.starts_with("terminate")));

    assert_eq!(fake.run(&["terminate", "--name", "Order", "-y"]).ok(), "terminated 2 instances\n");
    let mut asked = fake.asked();
    asked.retain(|asked| asked.starts_with("terminate"));
    asked.sort();
    assert_eq!(asked, ["terminate order-1", "terminate order-5"].map(str::to_owned));
}

#[test]
fn a_dry_run_only_shows() {
    let fake = Fake::start();
    let dry = fake.run(&["purge", "--status", "failed", "--older-than", "1d", "--dry-run", "-o", "id"]);
    assert_eq!((dry.exit, dry.out.as_str()), (0, "order-10\norder-6\norder-2\n"));
    assert_eq!(dry.err, "3 instances would be touched\n");
    assert!(fake.asked().iter().all(|asked| !asked.starts_with("purge")));
}

#[test]
fn many_are_done_at_once() {
    let fake = Fake::start();
    let purged = fake.run(&["purge", "--all", "-y", "-o", "id"]);
    assert_eq!(purged.ok().lines().count(), 9);
    let purges = |asked: Vec<String>| asked.iter().filter(|asked| asked.starts_with("purge")).count();
    assert_eq!(purges(fake.asked()), 1);

    // One that is over already is no reason to leave the others alone.
    let some = fake.run(&["terminate", "order-0", "order-1", "gone", "-y"]);
    assert_eq!(some.exit, 1);
    assert_eq!(some.out, "terminated 1 instance\n");
    assert!(some.err.contains("order-0: instance \"order-0\" is over already: Completed\n"), "{some:?}");
    assert!(some.err.contains("error: 2 of 3 could not be terminated\n"), "{some:?}");

    let restarted = fake.run(&["restart", "--status", "failed", "-y", "-o", "id"]).ok();
    assert_eq!(restarted, "order-10-again\norder-6-again\norder-2-again\n");
    assert_eq!(fake.run(&["restart", "order-2"]).ok(), "restarted order-2 as order-2-again\n");
}

#[test]
fn in_a_terminal_it_asks() {
    let fake = Fake::start();
    let answered = |answer: &str| {
        let (mut terminal, stdin) = terminal();
        terminal.write_all(answer.as_bytes()).unwrap();
        let mut command = fake.command(&["terminate", "order-1", "order-5"]);
        let mut asking = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = String::new();
        asking.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (asking.wait().unwrap().code(), err)
    };
    assert_eq!(
        answered("\n"),
        (Some(1), "terminate 2 instances? [y/N] error: nothing was done\n".to_owned())
    );
    assert!(fake.asked().is_empty());
    assert_eq!(answered("y\n"), (Some(0), "terminate 2 instances? [y/N] ".to_owned()));
    assert!(fake.asked().contains(&"terminate order-5".to_owned()));
}

/// Both ends of a terminal.
fn terminal() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    (File::from(ours), theirs.into())
}
