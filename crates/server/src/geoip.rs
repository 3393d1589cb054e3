//! Locations of IP addresses, from databases in the `MaxMind` DB format that the operator provides.

use std::net::IpAddr;

use api::core_v1::{GeoIp, geo_ip};
use arc_swap::ArcSwapOption;
use maxminddb::{Reader, geoip2};

/// A database in memory.
pub struct Database(Reader<Vec<u8>>);

/// The error for a file that is not such a database.
#[derive(Debug, thiserror::Error)]
#[error("not a database in the MaxMind DB format (.mmdb): {0}")]
pub struct InvalidDatabase(#[from] maxminddb::MaxMindDbError);

impl Database {
    /// Parses a database.
    ///
    /// # Errors
    /// Returns [`InvalidDatabase`] if `bytes` are not in the format.
    pub fn new(bytes: Vec<u8>) -> Result<Self, InvalidDatabase> {
        Ok(Self(Reader::from_source(bytes)?))
    }

    /// Returns the type of the database, such as `GeoLite2-City`.
    pub fn kind(&self) -> &str {
        &self.0.metadata().database_type
    }
}

/// The location databases. Each can be replaced while in use.
#[derive(Default)]
pub struct GeoIpDatabases {
    /// Database of cities or countries.
    pub cities: ArcSwapOption<Database>,
    /// Database of autonomous systems.
    pub networks: ArcSwapOption<Database>,
}

impl GeoIpDatabases {
    /// Returns the location of `address`, or `None` if it is unknown.
    pub fn find(&self, address: IpAddr) -> Option<GeoIp> {
        let cities = self.cities.load();
        let networks = self.networks.load();
        let city = cities.as_ref().and_then(|database| {
            let found = database.0.lookup(address);
            ok_or_log(found.and_then(|found| found.decode::<geoip2::City<'_>>()))
        });
        let network = networks.as_ref().and_then(|database| {
            let found = database.0.lookup(address);
            ok_or_log(found.and_then(|found| found.decode::<geoip2::Asn<'_>>()))
        });
        if city.is_none() && network.is_none() {
            return None;
        }
        let version = match address {
            IpAddr::V4(_) => geo_ip::IpVersion::V4,
            IpAddr::V6(_) => geo_ip::IpVersion::V6,
        };
        let mut location = city.as_ref().map(location).unwrap_or_default();
        location.ip = address.to_string();
        location.ip_version = version.into();
        location.network = network.map(|network| geo_ip::Network {
            asn: network.autonomous_system_number.unwrap_or_default().into(),
            organization: text(network.autonomous_system_organization),
            ..geo_ip::Network::default()
        });
        Some(location)
    }
}

/// Formats a location for people: `Berlin, Germany`.
pub fn display_location(location: &GeoIp) -> String {
    let city = location.city.as_ref().map(|city| city.name.as_str());
    let region = location.region.as_ref().map(|region| region.name.as_str());
    let country = location.country.as_ref().map(|country| {
        if country.name.is_empty() {
            country.code.as_str()
        } else {
            country.name.as_str()
        }
    });
    let mut words: Vec<&str> = Vec::new();
    words.extend(city.filter(|name| !name.is_empty()).or(region));
    words.extend(country);
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

/// Returns the record, and logs an error of the database.
fn ok_or_log<T>(found: Result<Option<T>, maxminddb::MaxMindDbError>) -> Option<T> {
    found
        .inspect_err(|error| tracing::warn!(%error, "a location database cannot be read"))
        .ok()
        .flatten()
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn location(city: &geoip2::City<'_>) -> GeoIp {
    let region = city.subdivisions.first();
    let location = &city.location;
    let point = location.latitude.zip(location.longitude);
    GeoIp {
        country: city.country.iso_code.map(|code| geo_ip::Country {
            code: code.to_owned(),
            name: text(city.country.names.english),
        }),
        continent: city.continent.code.map(|code| geo_ip::Continent {
            code: code.to_owned(),
            name: text(city.continent.names.english),
        }),
        region: region.map(|region| geo_ip::Region {
            code: text(region.iso_code),
            name: text(region.names.english),
        }),
        city: city.city.names.english.map(|name| geo_ip::City {
            name: name.to_owned(),
        }),
        coordinates: point.map(|(latitude, longitude)| geo_ip::Coordinates {
            latitude,
            longitude,
            accuracy_radius: location.accuracy_radius.unwrap_or_default().into(),
        }),
        timezone: location.time_zone.map(|id| geo_ip::Timezone {
            id: id.to_owned(),
            ..geo_ip::Timezone::default()
        }),
        postal_code: text(city.postal.code),
        ..GeoIp::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn geoip() -> GeoIpDatabases {
        let database = |bytes: &[u8]| Some(Arc::new(Database::new(bytes.to_vec()).unwrap()));
        GeoIpDatabases {
            cities: ArcSwapOption::new(database(include_bytes!("../tests/data/cities.mmdb"))),
            networks: ArcSwapOption::new(database(include_bytes!("../tests/data/networks.mmdb"))),
        }
    }

    #[test]
    fn an_address_has_a_location() {
        let geoip = geoip();
        let found = geoip.find("127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(display_location(&found), "Berlin, Germany");
        assert_eq!(found.ip, "127.0.0.1");
        assert_eq!(found.ip_version(), geo_ip::IpVersion::V4);
        assert_eq!(found.country.unwrap().code, "DE");
        assert_eq!(found.region.unwrap().code, "BE");
        assert_eq!(found.timezone.unwrap().id, "Europe/Berlin");
        assert_eq!(found.postal_code, "10115");
        let network = found.network.unwrap();
        assert_eq!(
            (network.asn, &*network.organization),
            (64496, "Example Networks")
        );

        let country = geoip.find("192.0.2.7".parse().unwrap()).unwrap();
        assert_eq!(display_location(&country), "France");
        assert_eq!(country.network, None);
        let found = geoip.find("2001:db8::7".parse().unwrap()).unwrap();
        assert_eq!(found.ip_version(), geo_ip::IpVersion::V6);
        assert_eq!(geoip.find("198.51.100.1".parse().unwrap()), None);
        assert_eq!(
            GeoIpDatabases::default().find("127.0.0.1".parse().unwrap()),
            None
        );
    }

    #[test]
    fn a_damaged_database_does_not_cause_a_panic() {
        assert!(Database::new(b"no database".to_vec()).is_err());
        let whole = include_bytes!("../tests/data/cities.mmdb");
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 0xff;
            if let Ok(database) = Database::new(damaged) {
                let geoip = GeoIpDatabases {
                    cities: ArcSwapOption::new(Some(Arc::new(database))),
                    networks: ArcSwapOption::empty(),
                };
                for address in ["127.0.0.1", "2001:db8::7", "198.51.100.1"] {
                    geoip.find(address.parse().unwrap());
                }
            }
        }
    }
}
