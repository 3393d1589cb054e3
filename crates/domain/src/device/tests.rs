use api::{
    auth_v1::register_device_begin_request::{Info, info},
    core_v1::{
        ClusterConfig, User, cluster_config,
        device::{spec::State, status::OsType},
        user,
    },
};

use super::{Facts, Invalid, default_state, max_per_user};

fn info() -> Info {
    Info {
        os_type: info::OsType::Linux.into(),
        hostname: "web-1.example.com".to_owned(),
        id: "0123456789abcdef".repeat(4),
        serial_number: " PF2X9K1L ".to_owned(),
        mac_addresses: vec!["00:00:5E:00:53:01".to_owned()],
    }
}

#[test]
fn well_formed_facts_are_read_in_one_spelling() {
    let facts = Facts::read(&info()).unwrap();
    assert_eq!(facts.os_type, OsType::Linux);
    assert_eq!(facts.serial_number, "PF2X9K1L");
    assert_eq!(facts.mac_addresses, ["00:00:5e:00:53:01"]);
}

#[test]
fn placeholders_for_a_serial_number_count_as_none() {
    for serial in ["", " ", "None", "To Be Filled By O.E.M.", "0000000000", "x"] {
        let info = Info {
            serial_number: serial.to_owned(),
            ..info()
        };
        assert_eq!(Facts::read(&info).unwrap().serial_number, "", "{serial:?}");
    }
}

#[test]
fn malformed_input_is_refused() {
    let refused = |edit: &dyn Fn(&mut Info)| {
        let mut info = info();
        edit(&mut info);
        Facts::read(&info).unwrap_err()
    };
    for os_type in [
        info::OsType::Unknown,
        info::OsType::Android,
        info::OsType::Ios,
    ] {
        assert_eq!(refused(&|info| info.set_os_type(os_type)), Invalid::OsType);
    }
    for id in ["", "abc", &"A".repeat(64), &"g".repeat(64), &"0".repeat(65)] {
        assert_eq!(refused(&|info| id.clone_into(&mut info.id)), Invalid::Id);
    }
    for hostname in ["a b", "a\u{1b}[2J", &"h".repeat(254), "gr\u{fc}n"] {
        let edit = |info: &mut Info| hostname.clone_into(&mut info.hostname);
        assert_eq!(refused(&edit), Invalid::Hostname);
    }
    for serial in ["12345", "1\n34567", &"ab".repeat(65)] {
        let edit = |info: &mut Info| serial.clone_into(&mut info.serial_number);
        assert_eq!(refused(&edit), Invalid::Serial);
    }
    for address in ["", "00:00:5e:00:53", "00:00:5e:00:53:0g", "0000.5e00.5301"] {
        let edit = |info: &mut Info| info.mac_addresses = vec![address.to_owned()];
        assert_eq!(refused(&edit), Invalid::MacAddress);
    }
    let many = |info: &mut Info| info.mac_addresses = vec!["00:00:5e:00:53:01".to_owned(); 17];
    assert_eq!(refused(&many), Invalid::MacAddress);
}

#[test]
fn the_cluster_says_how_devices_of_each_type_of_user_begin() {
    let of = |r#type: user::spec::Type| User {
        spec: Some(user::Spec {
            r#type: r#type.into(),
            ..user::Spec::default()
        }),
        ..User::default()
    };
    let (human, workload) = (of(user::spec::Type::Human), of(user::spec::Type::Workload));
    let plain = ClusterConfig::default();
    assert_eq!(default_state(&human, &plain), State::Active);
    assert_eq!(max_per_user(&workload, &plain), 32);
    let config = ClusterConfig {
        spec: Some(cluster_config::Spec {
            device: Some(cluster_config::spec::Device {
                human: Some(cluster_config::spec::device::Human {
                    default_state: State::Pending.into(),
                    max_per_user: 2,
                }),
                workload: None,
            }),
            ..cluster_config::Spec::default()
        }),
        ..ClusterConfig::default()
    };
    assert_eq!(default_state(&human, &config), State::Pending);
    assert_eq!(max_per_user(&human, &config), 2);
    assert_eq!(default_state(&workload, &config), State::Active);
    assert_eq!(max_per_user(&workload, &config), 32);
}
