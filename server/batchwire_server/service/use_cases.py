"""All use cases of callers, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from batchwire_server.core.trusted_header import TrustedHeader
from batchwire_server.service.api_keys import ApiKeyAuthenticator
from batchwire_server.service.batches import Batches
from batchwire_server.service.files import Files
from batchwire_server.service.health import HealthChecks
from batchwire_server.service.models import Models
from batchwire_server.service.results import Results
from batchwire_server.service.uploads import Uploads
from batchwire_server.service.watches import Watches
from batchwire_server.service.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that the gRPC server calls."""

    files: Files
    uploads: Uploads
    batches: Batches
    watches: Watches
    results: Results
    models: Models
    webhooks: Webhooks
    authenticator: ApiKeyAuthenticator
    trusted_header: TrustedHeader
    health_checks: HealthChecks
