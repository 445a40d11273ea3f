//! A peer that speaks libp2p well and our framing however a test wants it: its "codec" writes bytes as they are.

use std::io;
use std::time::Duration;

use futures::StreamExt;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response::{self, Codec, Message, ProtocolSupport};
use libp2p::swarm::{StreamProtocol, Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};
use votenode_p2p::{Multiaddr, PeerId};

/// What to write: bytes, each piece after a pause.
#[derive(Clone, Debug, Default)]
pub struct Script(pub Vec<(Duration, Vec<u8>)>);

impl Script {
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![(Duration::ZERO, bytes.into())])
    }

    /// A byte every `pause`, for ever as far as a test is concerned.
    pub fn trickle(head: &[u8], pause: Duration) -> Self {
        let head = std::iter::once((Duration::ZERO, head.to_vec()));
        Self(head.chain((0..10_000).map(|_| (pause, vec![0]))).collect())
    }

    async fn play<T: AsyncWrite + Unpin>(self, io: &mut T) -> io::Result<()> {
        for (pause, bytes) in self.0 {
            tokio::time::sleep(pause).await;
            io.write_all(&bytes).await?;
            io.flush().await?;
        }
        Ok(())
    }
}

/// A framed message.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes
}

#[derive(Clone, Default)]
struct RawCodec;

async fn all<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

impl Codec for RawCodec {
    type Protocol = StreamProtocol;
    type Request = Script;
    type Response = Script;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Script>
    where
        T: AsyncRead + Unpin + Send,
    {
        all(io).await.map(Script::bytes)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Script>
    where
        T: AsyncRead + Unpin + Send,
    {
        all(io).await.map(Script::bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        script: Script,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        script.play(io).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        script: Script,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        script.play(io).await
    }
}

type Outcome = Result<Vec<u8>, String>;

/// Asks one node, and answers everybody with the same script.
pub struct Raw {
    pub id: PeerId,
    requests: mpsc::UnboundedSender<(Script, oneshot::Sender<Outcome>)>,
}

impl Raw {
    /// Connects to `addr`; inbound requests on `protocol` are answered with `answer`.
    pub async fn start(addr: &Multiaddr, peer: PeerId, protocol: &str, answer: Script) -> Self {
        let name = StreamProtocol::try_from_owned(protocol.to_owned()).unwrap();
        let config =
            request_response::Config::default().with_request_timeout(Duration::from_secs(300));
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::new(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| {
                request_response::Behaviour::with_codec(
                    RawCodec,
                    [(name, ProtocolSupport::Full)],
                    config,
                )
            })
            .unwrap()
            .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(300)))
            .build();
        swarm.dial(addr.clone()).unwrap();
        while !swarm.is_connected(&peer) {
            swarm.select_next_some().await;
        }
        let id = *swarm.local_peer_id();
        let (requests, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(swarm, peer, answer, receiver));
        Self { id, requests }
    }

    /// Plays a script as a request; the raw bytes of the answer, or what went wrong.
    pub fn ask(&self, script: Script) -> oneshot::Receiver<Outcome> {
        let (sender, outcome) = oneshot::channel();
        self.requests.send((script, sender)).unwrap();
        outcome
    }
}

async fn run(
    mut swarm: Swarm<request_response::Behaviour<RawCodec>>,
    peer: PeerId,
    answer: Script,
    mut requests: mpsc::UnboundedReceiver<(Script, oneshot::Sender<Outcome>)>,
) {
    let mut waiting = std::collections::HashMap::new();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some((script, sender)) = request else { return };
                waiting.insert(swarm.behaviour_mut().send_request(&peer, script), sender);
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(request_response::Event::Message { message, .. }) => match message {
                    Message::Request { channel, .. } => {
                        let _ = swarm.behaviour_mut().send_response(channel, answer.clone());
                    }
                    Message::Response { request_id, response } => {
                        let bytes = response.0.into_iter().flat_map(|(_, bytes)| bytes).collect();
                        let _ = waiting.remove(&request_id).unwrap().send(Ok(bytes));
                    }
                },
                SwarmEvent::Behaviour(request_response::Event::OutboundFailure { request_id, error, .. }) => {
                    let _ = waiting.remove(&request_id).unwrap().send(Err(error.to_string()));
                }
                _ => {}
            }
        }
    }
}
