use super::*;

const ROOT: u32 = 0;
const ALICE: u32 = 1000;
const BOB: u32 = 1001;

/// Root's look at a service directory of this owner.
fn seen_by_root(service: u32, foreign_link: bool) -> Owners {
    Owners {
        caller: ROOT,
        service,
        folder: service,
        foreign_link,
    }
}

fn only(owner: u32) -> Entry {
    Entry {
        owner,
        only_name: true,
    }
}

fn linked(owner: u32) -> Entry {
    Entry {
        owner,
        only_name: false,
    }
}

#[test]
fn a_fifo_that_root_gave_away_can_be_used() {
    let owners = seen_by_root(ROOT, false);
    for fifo in [only(ROOT), only(ALICE), linked(ALICE)] {
        assert_eq!(owners.check_fifo(fifo), Ok(()), "{fifo:?}");
    }
}

#[test]
fn another_user_s_link_leads_to_that_user_s_files_only() {
    let owners = seen_by_root(ALICE, true);
    assert_eq!(owners.check_fifo(only(ALICE)), Ok(()));
    assert_eq!(owners.check_fifo(only(ROOT)), Err(Refused::Owner(ROOT)));
    assert_eq!(owners.check_fifo(only(BOB)), Err(Refused::Owner(BOB)));
    assert_eq!(owners.check_file(only(ALICE)), Ok(()));
    assert_eq!(owners.check_file(only(ROOT)), Err(Refused::Owner(ROOT)));
}

#[test]
fn root_s_supervise_in_another_user_s_directory_can_be_controlled() {
    let owners = seen_by_root(ALICE, false);
    assert_eq!(owners.check_fifo(only(ROOT)), Ok(()));
    assert_eq!(owners.check_file(only(ROOT)), Ok(()));
    // Another service's FIFO under a second name.
    assert_eq!(owners.check_fifo(linked(ROOT)), Err(Refused::Owner(ROOT)));
}

#[test]
fn a_file_of_a_user_who_owns_nothing_here_is_not_read() {
    let owners = seen_by_root(ROOT, false);
    assert_eq!(owners.check_file(only(ALICE)), Err(Refused::Owner(ALICE)));
    let given = Owners {
        folder: ALICE,
        ..owners
    };
    assert_eq!(given.check_file(only(ALICE)), Ok(()));
}

#[test]
fn no_file_is_read_through_a_link_and_the_directory_may_be_one() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    std::fs::create_dir(at("elsewhere")).unwrap();
    std::fs::write(at("elsewhere/status"), "text").unwrap();
    std::os::unix::fs::symlink("status", at("elsewhere/link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", at("supervise")).unwrap();
    let layout = Layout::with_supervisedir(scratch.path(), None).unwrap();
    let folder = StateFolder::open(&layout).unwrap();
    let file = folder.read("status", 4).unwrap();
    assert_eq!(file.bytes, b"text");
    assert_eq!(file.owner, rustix::process::geteuid().as_raw());
    assert_eq!(folder.read("status", 3), Err(Refused::Long(3)));
    assert_eq!(folder.read("link", 4), Err(Refused::Link));
    assert_eq!(folder.is_supervised(), Ok(false));
}

#[test]
fn the_kind_of_the_link_of_another_user_s_directory_is_found_out() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    std::fs::create_dir(at("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", at("link")).unwrap();
    std::fs::write(at("file"), "").unwrap();
    let me = rustix::process::geteuid().as_raw();
    // As another user than the one who made the link.
    let mut owners = Owners {
        caller: me + 1,
        service: ALICE,
        folder: ALICE,
        foreign_link: false,
    };
    owners.open_foreign(&at("elsewhere")).unwrap();
    assert!(!owners.foreign_link);
    owners.open_foreign(&at("link")).unwrap();
    // Root's links are trusted.
    assert_eq!(owners.foreign_link, me != 0);
    let refused = owners.open_foreign(&at("file")).unwrap_err();
    assert_eq!(refused, Refused::Failed(Errno::NOTDIR));
    assert!(owners.open_foreign(&at("none")).unwrap_err().is_absent());
}
