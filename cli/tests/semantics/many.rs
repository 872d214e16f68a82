//! Many commands in one machine, one after the other and at once; nothing of them stays.

use std::process::Stdio;

use crate::common::{Kiln, image, soak};

/// Processes and zombies that the guest has now, of which one is `ps` itself.
fn processes(kiln: &Kiln) -> (usize, usize) {
    let list = kiln.text(&["exec", "box", "ps", "-o", "stat"]);
    let states: Vec<&str> = list.lines().skip(1).collect();
    (states.len() - 1, states.iter().filter(|state| state.starts_with('Z')).count())
}

#[test]
fn many_commands_leave_nothing() {
    let kiln = Kiln::new();
    // The first process collects the orphans, as it has to in every PID namespace (pid_namespaces(7)).
    let first = "while :; do sleep 0.2; done";
    kiln.text(&["run", "-d", "--name", "box", &image(), "sh", "-c", first]);
    let in_a_row = if soak() { 1000 } else { 50 };
    for n in 0..in_a_row {
        assert_eq!(kiln.text(&["exec", "box", "echo", &n.to_string()]), n.to_string());
    }
    let children: Vec<_> = (0..50)
        .map(|n| {
            // Each leaves an orphan that ends by itself.
            let script = format!("(sleep 0.1 &) ; sleep 0.2; echo {n}; exit {n}");
            kiln.command(&["exec", "box", "sh", "-c", &script])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{n}\n"));
        assert_eq!(output.status.code(), Some(n as i32));
    }
    for _ in 0..200 {
        if processes(&kiln) == (2, 0) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{:?}: {}", processes(&kiln), kiln.text(&["exec", "box", "ps"]));
}
