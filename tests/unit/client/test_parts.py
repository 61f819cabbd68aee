from batchwire_client._transport.sync_sources import UploadProgress


def test_a_part_sent_again_counts_from_its_start() -> None:
    told: list[int] = []
    tally = UploadProgress(10, lambda sent, _: told.append(sent))
    tally.of(0)(4, 5)
    tally.of(1)(3, 5)
    tally.of(0)(1, 5)
    assert told == [4, 7, 4]
