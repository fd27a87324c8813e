# The fixture asks from a loop of its own; what looks behind spool.h is linked with SQLite.
foreach(name test_spool test_spool_faults test_spool_open test_spool_store)
  add_unit_test(${name} SOURCES unit/spool_fixture.c fakes/fault_vfs.c USES spool
    LIBRARIES PkgConfig::EVENT PkgConfig::SQLITE)
  target_include_directories(${name} PRIVATE fakes $<TARGET_PROPERTY:spool,BINARY_DIR>)
endforeach()
add_unit_test(test_wal_file SOURCES fakes/fault_vfs.c USES spool LIBRARIES PkgConfig::SQLITE)
target_include_directories(test_wal_file PRIVATE fakes)
target_link_options(test_spool_open PRIVATE -Wl,--wrap=fsync)
