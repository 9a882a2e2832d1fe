//! A connection that is made again when it is lost. Those who share it share the new one.

use anyhow::Result;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::http2::Channel;

pub struct Slot {
    port: u16,
    tls: Option<TlsConnector>,
    /// How often it was made, and the last one.
    made: Mutex<(u64, Channel)>,
}

impl Slot {
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(port: u16, tls: Option<TlsConnector>) -> Result<Self> {
        let channel = Channel::connect(port, tls.as_ref()).await?;
        let made = Mutex::new((0, channel));
        Ok(Self { port, tls, made })
    }

    pub async fn channel(&self) -> Channel {
        self.made.lock().await.1.clone()
    }

    /// A newer connection than the one that was lost; somebody may have made it already.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn again(&self, lost: u64) -> Result<(u64, Channel)> {
        let mut made = self.made.lock().await;
        if made.0 == lost {
            *made = (
                lost + 1,
                Channel::connect(self.port, self.tls.as_ref()).await?,
            );
        }
        Ok(made.clone())
    }
}
