//! The body of an answer: one message and its trailers, or whatever a tonic service says.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};

pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Bytes of a DATA frame. From 1,024 on h2 puts a frame into no buffer, but writes it by itself: one
/// system call an answer, which is more than the whole decision, where otherwise the answers of all
/// that came at once leave together. It does so from 256 on where the stream would take several
/// pieces in one call, which ours therefore says it does not (`server/connection.rs`).
const PIECE: usize = 1023;

/// An answer's body.
pub(crate) enum Reply {
    /// A gRPC frame, then `grpc-status: 0`.
    Message(Bytes),
    Trailers,
    Done,
    Tonic(tonic::body::Body),
}

impl Reply {
    /// A call that succeeded.
    pub(super) fn message(frame: Bytes) -> Response<Self> {
        let mut response = Response::new(Self::Message(frame));
        response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
        response
    }

    /// UNIMPLEMENTED, and the encoding that we do read, as gRPC's document on compression wants it.
    pub(super) fn compressed() -> Response<Self> {
        let mut response = Response::new(Self::Done);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, GRPC);
        headers.insert(GRPC_STATUS, HeaderValue::from_static("12"));
        headers.insert("grpc-message", HeaderValue::from_static("compressed messages are not read here"));
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
        response
    }

    /// Not gRPC at all.
    pub(super) fn unsupported_media_type() -> Response<Self> {
        let mut response = Response::new(Self::Done);
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        response
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = self.get_mut();
        match this {
            Self::Message(frame) => {
                let piece = frame.split_to(frame.len().min(PIECE));
                if frame.is_empty() {
                    *this = Self::Trailers;
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Trailers => {
                *this = Self::Done;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Self::Done => Poll::Ready(None),
            Self::Tonic(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(_) | Self::Trailers => false,
            Self::Done => true,
            Self::Tonic(body) => body.is_end_stream(),
        }
    }
}
