//! Why an instance waits, as it is shown.

use crate::fake::Fake;

#[test]
fn shown() {
    let fake = Fake::start();
    let show = |arguments: &[&str]| format!("$ {}\n{}\n", arguments.join(" "), fake.run(arguments).shown());
    insta::assert_snapshot!(
        [
            show(&["why", "order-1"]),
            show(&["why", "order-1", "-o", "json"]),
            show(&["why", "nobody"]),
            show(&["why", "--all"]),
            show(&["why", "--all", "-o", "wide", "--limit", "1"]),
            show(&["why", "--all", "-o", "id", "--severity", "error", "--name", "Order"]),
            show(&["why", "order-1", "--name", "Order"]),
        ]
        .concat()
    );
    let asked = fake.asked();
    let error = strandline_proto::management::Severity::Error as i32;
    assert_eq!(
        asked.iter().filter(|asked| **asked == format!("list_stuck {error} Some(\"Order\")")).count(),
        2
    );
}
