//! The unit for systemd. What svscan tells systemd is in `svscan/init.rs`.

use crate::support;

use support::peer;
use support::world::{line, world};

#[test]
fn the_unit_is_one_that_systemd_understands_whole() {
    peer("systemd-analyze");
    let said = world(
        r#"
        mkdir -p /usr/local/bin
        cp /opt/servicedir/svscan /usr/local/bin/svscan
        # The page that it names is not installed here.
        grep -v ^Documentation= /opt/project/examples/systemd/servicedir.service >/etc/systemd/system/servicedir.service
        echo "verify: $(say systemd-analyze verify /etc/systemd/system/servicedir.service)"
        sed -i 's/KillMode=process/KillMode=no-such/' /etc/systemd/system/servicedir.service
        echo "fault: $(say systemd-analyze verify /etc/systemd/system/servicedir.service)"
        "#,
    );
    assert_eq!(line(&said, "verify"), "0 | ");
    assert!(line(&said, "fault").contains("kill mode"), "{said}");
}
