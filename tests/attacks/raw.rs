//! A peer that speaks libp2p well enough to be let in, and writes into its streams whatever a test wants.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use futures::StreamExt as _;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::request_response::{self, Codec, Message, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, StreamProtocol, Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, identify, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use votenode::protocol::names::{IDENTIFY_PROTOCOL, member_protocol};
use votenode_p2p::PeerId;

use crate::arena::Arena;
use crate::harness::DEADLINE;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(900);

/// What to write: bytes, each piece after a pause.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<(Duration, Vec<u8>)>);

impl Script {
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![(Duration::ZERO, bytes.into())])
    }

    /// `head` at once, then a byte every `pause`.
    pub fn trickle(head: &[u8], pause: Duration) -> Self {
        let head = std::iter::once((Duration::ZERO, head.to_vec()));
        Self(head.chain((0..10_000).map(|_| (pause, vec![0]))).collect())
    }

    /// The same piece again and again, without a pause.
    pub fn again(piece: &[u8], times: usize) -> Self {
        Self(vec![(Duration::ZERO, piece.to_vec()); times])
    }

    /// `head`, and then nothing: the stream stays open.
    pub fn stall(head: &[u8]) -> Self {
        Self(vec![(Duration::ZERO, head.to_vec()), (LONG, Vec::new())])
    }

    async fn play<T: AsyncWrite + Unpin>(self, io: &mut T) -> io::Result<()> {
        for (pause, bytes) in self.0 {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            io.write_all(&bytes).await?;
            io.flush().await?;
        }
        Ok(())
    }
}

/// A message with the length before it, as request-response frames it.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes
}

/// Writes bytes as they are, and reads whatever comes.
#[derive(Clone, Default)]
pub struct RawCodec {
    /// Reads no reply.
    is_deaf: bool,
}

async fn all<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Script> {
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await?;
    Ok(Script::bytes(bytes))
}

impl Codec for RawCodec {
    type Protocol = StreamProtocol;
    type Request = Script;
    type Response = Script;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Script>
    where
        T: AsyncRead + Unpin + Send,
    {
        all(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Script>
    where
        T: AsyncRead + Unpin + Send,
    {
        if self.is_deaf {
            tokio::time::sleep(LONG).await;
        }
        all(io).await
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

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: Toggle<identify::Behaviour>,
    streams: request_response::Behaviour<RawCodec>,
}

type Outcome = Result<Vec<u8>, String>;
type Ask = (Script, oneshot::Sender<Outcome>);

/// Opens streams to the victim, and answers all of the victim's with one script.
pub struct Raw {
    id: PeerId,
    asks: mpsc::UnboundedSender<Ask>,
    gone: watch::Receiver<bool>,
    refusals: usize,
}

impl Raw {
    /// Connects. Streams are opened under the first of `protocols` that the victim speaks; the victim's under any of
    /// them are answered with `answer`.
    pub async fn join(arena: &Arena<'_>, protocols: &[String], answer: Script) -> Self {
        Self::start(arena, protocols, answer, true).await
    }

    /// Connects, and never reads a byte of what it asks for.
    pub async fn deaf(arena: &Arena<'_>, protocol: String) -> Self {
        let codec = RawCodec { is_deaf: true };
        let member = member_protocol(&arena.network.id());
        Self::listing(
            arena,
            vec![protocol, member],
            Script::default(),
            true,
            codec,
        )
        .await
    }

    /// Connects and never says who it is.
    pub async fn nameless(arena: &Arena<'_>) -> Self {
        Self::start(arena, &[], Script::default(), false).await
    }

    /// Connects as one that is of another network: it lists these protocols alone.
    pub async fn stranger(arena: &Arena<'_>, protocols: &[String]) -> Self {
        let codec = RawCodec::default();
        Self::listing(arena, protocols.to_vec(), Script::default(), true, codec).await
    }

    async fn start(arena: &Arena<'_>, protocols: &[String], answer: Script, named: bool) -> Self {
        let member = member_protocol(&arena.network.id());
        let names = protocols.iter().cloned().chain([member]).collect();
        Self::listing(arena, names, answer, named, RawCodec::default()).await
    }

    async fn listing(
        arena: &Arena<'_>,
        protocols: Vec<String>,
        answer: Script,
        named: bool,
        codec: RawCodec,
    ) -> Self {
        let names = protocols.into_iter().map(|name| {
            let name = StreamProtocol::try_from_owned(name).unwrap();
            (name, ProtocolSupport::Full)
        });
        let config = request_response::Config::default()
            .with_request_timeout(LONG)
            .with_max_concurrent_streams(100_000);
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::new(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|key| Behaviour {
                identify: Toggle::from(named.then(|| {
                    identify::Behaviour::new(
                        identify::Config::new(IDENTIFY_PROTOCOL.into(), key.public())
                            .with_agent_version("hostile/1".into()),
                    )
                })),
                streams: request_response::Behaviour::with_codec(codec, names, config),
            })
            .unwrap()
            .with_swarm_config(|c| c.with_idle_connection_timeout(LONG))
            .build();
        let mut refusals = 0;
        let known = async {
            swarm.dial(arena.address.clone()).unwrap();
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Sent {
                        ..
                    })) => break,
                    SwarmEvent::ConnectionEstablished { .. } if !named => break,
                    SwarmEvent::OutgoingConnectionError { .. }
                    | SwarmEvent::ConnectionClosed { .. } => {
                        refusals += 1;
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        swarm.dial(arena.address.clone()).unwrap();
                    }
                    _ => {}
                }
            }
        };
        let in_time = timeout(DEADLINE, known).await;
        assert!(in_time.is_ok(), "a raw attacker never got in");
        let id = *swarm.local_peer_id();
        let (asks, receiver) = mpsc::unbounded_channel();
        let (sender, gone) = watch::channel(false);
        tokio::spawn(run(swarm, arena.peer, answer, receiver, sender));
        Self {
            id,
            asks,
            gone,
            refusals,
        }
    }

    /// Opens a stream and plays a script; the raw bytes of the answer, or what went wrong.
    pub fn ask(&self, script: Script) -> oneshot::Receiver<Outcome> {
        let (sender, outcome) = oneshot::channel();
        // A peer that was thrown out asks nothing any more; the outcome says so.
        let _ = self.asks.send((script, sender));
        outcome
    }

    /// Whether the victim has thrown it out.
    pub fn is_out(&self) -> bool {
        *self.gone.borrow()
    }

    /// Waits until the victim has thrown it out.
    pub async fn until_out(&self) {
        let mut gone = self.gone.clone();
        let out = timeout(DEADLINE, gone.wait_for(|gone| *gone)).await;
        assert!(out.is_ok(), "the attacker {} is still welcome", self.id);
    }

    /// How often it was refused before it got in.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// Who it is.
    pub fn id(&self) -> PeerId {
        self.id
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    victim: PeerId,
    answer: Script,
    mut asks: mpsc::UnboundedReceiver<Ask>,
    gone: watch::Sender<bool>,
) {
    let mut waiting = HashMap::new();
    loop {
        let event = tokio::select! {
            ask = asks.recv() => {
                let Some((script, sender)) = ask else { return };
                let streams = &mut swarm.behaviour_mut().streams;
                waiting.insert(streams.send_request(&victim, script), sender);
                continue;
            }
            event = swarm.select_next_some() => event,
        };
        match event {
            SwarmEvent::ConnectionClosed {
                num_established: 0, ..
            } => {
                gone.send_replace(true);
                return;
            }
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => match event {
                request_response::Event::Message { message, .. } => match message {
                    Message::Request { channel, .. } => {
                        let streams = &mut swarm.behaviour_mut().streams;
                        let _ = streams.send_response(channel, answer.clone());
                    }
                    Message::Response {
                        request_id,
                        response,
                    } => {
                        let bytes = response.0.into_iter().flat_map(|(_, bytes)| bytes);
                        if let Some(waiting) = waiting.remove(&request_id) {
                            let _ = waiting.send(Ok(bytes.collect()));
                        }
                    }
                },
                request_response::Event::OutboundFailure {
                    request_id, error, ..
                } => {
                    if let Some(waiting) = waiting.remove(&request_id) {
                        let _ = waiting.send(Err(error.to_string()));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}
