# The pure parts by themselves; then the real server on a socket with the real spool.
add_unit_test(test_data_reader USES intake)
add_unit_test(test_envelope USES intake)
add_unit_test(test_header_pass USES intake)
add_unit_test(test_parameters USES intake)
