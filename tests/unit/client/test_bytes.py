from batchwire_client._bytes import Part, chunked, lines_of, parts_of


def test_chunks_have_one_size_but_the_last() -> None:
    assert list(chunked([b"a", b"bcdefg", memoryview(b"h"), b"", b"ij"], 4)) == [b"abcd", b"efgh", b"ij"]
    assert list(chunked([], 4)) == []


def test_parts_cover_a_file_without_gap() -> None:
    assert parts_of(10, 4) == [Part(0, 0, 4), Part(1, 4, 4), Part(2, 8, 2)]
    assert parts_of(0, 4) == []


def test_lines_are_cut_wherever_the_pieces_end() -> None:
    assert list(lines_of([b"on", b"e\ntwo\n\n  \nth", b"ree"])) == [b"one", b"two", b"three"]
