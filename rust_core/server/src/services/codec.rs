//! Protobuf on streams, where bytes that are no message are the caller's mistake and not an internal error.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::error::ApiError;

/// As `ProstCodec`, with `MALFORMED` for what does not decode.
pub(super) struct StreamCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StreamCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StreamCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StreamDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        StreamDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

pub(super) struct StreamDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for StreamDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        self.0
            .decode(source)
            .map_err(|status| ApiError::Malformed(status.message().to_owned()).into())
    }
}
