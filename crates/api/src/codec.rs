//! A gRPC codec that rejects messages with unknown fields instead of dropping the fields.

use std::marker::PhantomData;

use prost::{Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

mod strict;

pub use strict::{Violation, check, check_as};

/// The codec: encodes protobuf, and decodes it after a [`check`] for unknown fields.
#[derive(Debug, Clone, Copy)]
pub struct StrictCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// A decoder that runs [`check`] on each message before it decodes it.
#[derive(Debug)]
pub struct StrictDecoder<U>(PhantomData<fn() -> U>);

impl<U: Message + Name + Default> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        use bytes::Buf as _;
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        check::<U>(&bytes).map_err(|violation| Status::invalid_argument(violation.to_string()))?;
        U::decode(bytes)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("malformed request: {error}")))
    }
}
