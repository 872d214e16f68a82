//! Users and groups as the image's own `/etc/passwd` and `/etc/group` know them.

use std::fs;

use agent::FailureKind;

use super::failure::{Outcome, failure};

/// Who a process is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// All groups, the main one first.
    pub groups: Vec<u32>,
    pub home: String,
}

/// Resolves `user[:group]` and further groups in the root of this process.
pub(crate) fn resolve(user: &str, groups: &[String]) -> Outcome<Identity> {
    let read = |path| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
    let passwd = read("/etc/passwd").unwrap_or_default();
    let group = read("/etc/group").unwrap_or_default();
    resolve_in(user, groups, &passwd, &group)
}

/// The rules are Docker's: names are looked up, numbers need not exist; a number without an entry
/// has group 0 and home `/`; an explicit group drops the memberships of the user.
fn resolve_in(user: &str, extra: &[String], passwd: &str, group: &str) -> Outcome<Identity> {
    let (user, main_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = user_entry(user, passwd);
    let uid = match (&entry, user.parse()) {
        (Some(entry), _) => in_range(entry.uid)?,
        (None, Ok(uid)) => in_range(uid)?,
        (None, Err(_)) => {
            return Err(failure(
                FailureKind::NoSuchUser,
                format!("the image has no user {user}: no matching entry in its /etc/passwd"),
            ));
        }
    };
    let gid = match main_group {
        Some(name) => group_number(name, group)?,
        None => in_range(entry.as_ref().map_or(0, |entry| entry.gid))?,
    };
    let mut groups = vec![gid];
    if let (Some(entry), None) = (&entry, main_group) {
        groups.extend(memberships(&entry.name, group));
    }
    for name in extra {
        groups.push(group_number(name, group)?);
    }
    let mut seen = Vec::new();
    groups.retain(|gid| {
        let fresh = !seen.contains(gid);
        seen.push(*gid);
        fresh
    });
    let home = entry.map(|entry| entry.home).filter(|home| !home.is_empty());
    Ok(Identity { uid, gid, groups, home: home.unwrap_or_else(|| "/".to_owned()) })
}

/// Docker's range. Above it is the number that tells setresuid(2) to change nothing: such a user would stay root.
fn in_range(number: u32) -> Outcome<u32> {
    if number <= i32::MAX as u32 {
        return Ok(number);
    }
    let message = format!("the user or group {number} is out of the range of 0 to 2147483647");
    Err(failure(FailureKind::NoSuchUser, message))
}

struct UserEntry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// The entry with this name, else with this number (passwd(5)).
fn user_entry(user: &str, passwd: &str) -> Option<UserEntry> {
    let entries = || {
        passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
            Some(UserEntry { name: name.to_owned(), uid, gid, home: home.to_owned() })
        })
    };
    entries().find(|entry| entry.name == user).or_else(|| {
        let number: u32 = user.parse().ok()?;
        entries().find(|entry| entry.uid == number)
    })
}

fn groups_of(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members, ..] = fields[..] else { return None };
        Some((name, gid.parse().ok()?, members))
    })
}

fn group_number(name: &str, group: &str) -> Outcome<u32> {
    let named = groups_of(group).find(|(known, ..)| *known == name).map(|(_, gid, _)| gid);
    let number = named.or_else(|| name.parse().ok()).ok_or_else(|| {
        failure(
            FailureKind::NoSuchUser,
            format!("the image has no group {name}: no matching entry in its /etc/group"),
        )
    })?;
    in_range(number)
}

fn memberships<'a>(user: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    groups_of(group)
        .filter(|(_, gid, _)| in_range(*gid).is_ok())
        .filter(move |(.., members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/false\n\
                          broken\nbad:x:no:1::/:\n77:x:1000:1000::/home/77:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nadm:x:4:web,root\nlog:x:9:web\nweb2:x:35:webx\n";

    fn identity(user: &str, groups: &[&str]) -> Outcome<Identity> {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        resolve_in(user, &groups, PASSWD, GROUP)
    }

    #[test]
    fn nothing_is_root_with_its_groups() {
        let root = identity("", &[]).unwrap();
        assert_eq!(root, Identity { uid: 0, gid: 0, groups: vec![0, 4], home: "/root".to_owned() });
    }

    #[test]
    fn a_name_has_its_group_memberships_and_home() {
        let web = identity("web", &[]).unwrap();
        let expected =
            Identity { uid: 33, gid: 34, groups: vec![34, 4, 9], home: "/srv".to_owned() };
        assert_eq!(web, expected);
        assert_eq!(identity("33", &[]).unwrap(), expected);
    }

    #[test]
    fn a_name_of_digits_goes_before_a_number() {
        assert_eq!(identity("77", &[]).unwrap().uid, 1000);
    }

    #[test]
    fn an_unknown_number_is_taken_as_it_is() {
        let nobody = identity("4711", &[]).unwrap();
        let expected = Identity { uid: 4711, gid: 0, groups: vec![0], home: "/".to_owned() };
        assert_eq!(nobody, expected);
        assert_eq!(identity("4711:4712", &[]).unwrap().gid, 4712);
    }

    #[test]
    fn an_explicit_group_is_the_only_one_besides_those_added() {
        assert_eq!(identity("web:log", &[]).unwrap().groups, [9]);
        assert_eq!(identity("web:log", &["adm", "50", "log"]).unwrap().groups, [9, 4, 50]);
    }

    #[test]
    fn numbers_that_mean_nobody_are_refused() {
        assert_eq!(identity("2147483647:2147483647", &[]).unwrap().gid, 2_147_483_647);
        for (user, groups) in [
            ("2147483648", &[][..]),
            ("4294967295", &[]),
            ("0:4294967295", &[]),
            ("0", &["2147483648"]),
        ] {
            assert_eq!(identity(user, groups).unwrap_err().kind, FailureKind::NoSuchUser, "{user}");
        }
        let passwd = "high:x:4294967295:0::/:\nwide:x:1:4294967295::/:\n";
        for user in ["high", "wide"] {
            assert!(resolve_in(user, &[], passwd, "").is_err(), "{user}");
        }
        let group = "root:x:0:\nodd:x:4294967295:root\n";
        assert_eq!(resolve_in("", &[], PASSWD, group).unwrap().groups, [0]);
    }

    #[test]
    fn unknown_names_are_refused() {
        for (user, groups) in [("nemo", &[][..]), ("web:nemo", &[]), ("web", &["nemo"])] {
            let error = identity(user, groups).unwrap_err();
            assert_eq!(error.kind, FailureKind::NoSuchUser);
            assert!(error.message.contains("nemo"), "{}", error.message);
        }
    }
}
