//! What only the kernel's WireGuard can show.

use crate::need;
use crate::world::{Node, no_kernel_wireguard};

#[test]
fn running_it_again_changes_nothing() {
    need!("running_it_again_changes_nothing", no_kernel_wireguard());
    let (one, two) = (Node::new(), Node::new());
    one.namespace.wire(&two.namespace);
    for node in [&one, &two] {
        let (mut agent, _) = node.up();
        assert!(agent.ended().success(), "{}", agent.log());
    }
    one.reconcile(&[two.peer("192.0.2.2:51820")]);
    two.reconcile(&[one.peer("192.0.2.1:51820")]);
    assert!(one.reaches(&two));
    let (before, index) = (one.dump(), one.index());
    let again = one.run(&["wg0"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(one.index(), index);
    assert!(one.reaches(&two));
    assert_eq!(one.dump().peers[0].handshake, before.peers[0].handshake, "a new session");
    for node in [&one, &two] {
        assert!(node.run(&["wg0", "--down"]).status.success());
        assert_eq!(node.index(), None);
    }
}

#[test]
fn the_link_of_somebody_else_is_left_alone() {
    need!("the_link_of_somebody_else_is_left_alone", no_kernel_wireguard());
    let node = Node::new();
    assert!(node.up_as(&node.stranger()).is_ok());
    let theirs = node.dump();
    for arguments in [["wg0"].as_slice(), &["wg0", "--down"]] {
        let output = node.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains("is there already and is not ours (wireguard, alias clusteros:a stranger)"), "{text}");
    }
    assert_eq!(node.dump(), theirs);
}
