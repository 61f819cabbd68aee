"""The ports of the core: database, blob store, upstreams, webhooks, notifications.

Each port has a module of its own. One object implements all store ports in practice; the ports
divide it by duty. Every method may raise `OutOfReachError` when its adapter cannot reach what is
behind it; other errors are named where a method raises them.
"""

from __future__ import annotations

from batchwire_server.core.ports.batches import BatchStore as BatchStore
from batchwire_server.core.ports.batches import IdempotencyKey as IdempotencyKey
from batchwire_server.core.ports.blobs import BLOCK_BYTES as BLOCK_BYTES
from batchwire_server.core.ports.blobs import KEYS_PER_PAGE as KEYS_PER_PAGE
from batchwire_server.core.ports.blobs import BlobStore as BlobStore
from batchwire_server.core.ports.blobs import BlobWriter as BlobWriter
from batchwire_server.core.ports.changes import ChangeFeed as ChangeFeed
from batchwire_server.core.ports.files import FileStore as FileStore
from batchwire_server.core.ports.garbage import Garbage as Garbage
from batchwire_server.core.ports.garbage import GarbageStore as GarbageStore
from batchwire_server.core.ports.keys import KeyStore as KeyStore
from batchwire_server.core.ports.page import Page as Page
from batchwire_server.core.ports.queue import CONTROL_KINDS as CONTROL_KINDS
from batchwire_server.core.ports.queue import CRASH_DELAY_MS as CRASH_DELAY_MS
from batchwire_server.core.ports.queue import QUARANTINE_AFTER_CRASHES as QUARANTINE_AFTER_CRASHES
from batchwire_server.core.ports.queue import BatchOutputs as BatchOutputs
from batchwire_server.core.ports.queue import ClaimRequest as ClaimRequest
from batchwire_server.core.ports.queue import CompletedShard as CompletedShard
from batchwire_server.core.ports.queue import HeldTask as HeldTask
from batchwire_server.core.ports.queue import ShardReport as ShardReport
from batchwire_server.core.ports.queue import TaskLeasing as TaskLeasing
from batchwire_server.core.ports.queue import TaskQueue as TaskQueue
from batchwire_server.core.ports.queue import TaskReading as TaskReading
from batchwire_server.core.ports.queue import TaskReporting as TaskReporting
from batchwire_server.core.ports.upstream import Upstream as Upstream
from batchwire_server.core.ports.webhooks import WebhookSender as WebhookSender
from batchwire_server.core.ports.webhooks import WebhookStore as WebhookStore
