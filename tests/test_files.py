"""Tables: read once, refused in one line."""

import pytest

from qra_jax._files import read_csv


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_cells_by_column_and_where_they_stand(tmp_path):
    table = read_csv(write(tmp_path, '\ufeffname , x,\n\na,1,?\n , ,\n"b, c", 2 ,!\n'), "a table")
    assert table.header == ("name", "x", "")
    assert table.columns == {"name": ["a", "b, c"], "x": ["1", "2"]}
    assert table.lines == [3, 5]
    assert len(table) == 2
    assert table.place(1, "x") == f"{table.path}, row 5, column x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; must be a table of numbers"),
        (" \n\n", "empty; must be a table of numbers"),
        ("x,y\n", "no rows under the header; must have one or more"),
        ("x;y\n1;2\n", "row 1: separated by semicolons; must be separated by commas"),
        ("x\ty\n1\t2\n", "row 1: separated by tabs; must be separated by commas"),
        ("\nx,y,x\n1,2,3\n", "row 2: column x is there twice; must be there once"),
        ("x,y\n1,2\n1\n", "row 3: 1 cell; must be 2, as in the header"),
        ("x,y\n1,2,3\n", "row 2: 3 cells; must be 2, as in the header"),
        (b"\xff\xfe\x00", "not a text file; must be a table of numbers"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match="must") as caught:
        read_csv(path, "a table of numbers")
    said = str(caught.value)
    assert said.startswith(f"{path}")
    assert said.endswith(message)
    assert "\n" not in said


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv: no such file; must be a table$"):
        read_csv(tmp_path / "none.csv", "a table")
    with pytest.raises(ValueError, match=r"is a directory; must be a table$"):
        read_csv(tmp_path, "a table")
