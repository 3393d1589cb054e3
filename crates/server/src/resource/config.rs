//! Configs. Their data is sealed like that of Secrets, and no call returns it.

use api::core_v1::{Config, config::Data, config::data::Type};
use prost::Message as _;
use store::SecretWrite;
use zeroize::Zeroizing;

use super::{draft::Draft, write::Managed};
use crate::{Error, document::codec::Stored};

const BYTES: usize = 3 * 1024 * 1024;
const ENTRIES: usize = 256;
const KEY_BYTES: usize = 256;

impl Managed for Config {
    fn take_secret(&mut self) -> Result<SecretWrite, Error> {
        let data = self.data.take().ok_or_else(|| {
            Error::invalid("data must be set, with a value, valueBytes, dataMap or attrs")
        })?;
        check(&data)?;
        Ok(SecretWrite::Set(Zeroizing::new(data.encode_to_vec())))
    }

    async fn prepare(
        _draft: &mut Draft<'_>,
        _new: &mut Self,
        _old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

fn check(data: &Data) -> Result<(), Error> {
    let length = data.encoded_len();
    if length > BYTES {
        return Err(Error::invalid(format!(
            "data has {length} bytes; at most {BYTES} are allowed"
        )));
    }
    let is_empty = match &data.r#type {
        None => true,
        Some(Type::Value(value)) => value.is_empty(),
        Some(Type::ValueBytes(value)) => value.is_empty(),
        Some(Type::Attrs(attrs)) => attrs.fields.is_empty(),
        Some(Type::DataMap(map)) => {
            if map.map.len() > ENTRIES {
                return Err(Error::invalid(format!(
                    "data.dataMap has {} entries; at most {ENTRIES} are allowed",
                    map.map.len()
                )));
            }
            for (key, value) in &map.map {
                if key.is_empty() || key.len() > KEY_BYTES || value.is_empty() {
                    return Err(Error::invalid(format!(
                        "data.dataMap: each key must have 1 to {KEY_BYTES} bytes, and each value at least 1"
                    )));
                }
            }
            map.map.is_empty()
        }
    };
    if is_empty {
        return Err(Error::invalid("data must not be empty"));
    }
    Ok(())
}
