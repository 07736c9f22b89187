from tests.conftest import make_bank
def test_x(tmp_path): assert make_bank
