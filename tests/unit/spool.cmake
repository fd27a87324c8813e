# The fixture asks from a loop of its own; what looks behind spool.h is linked with SQLite.
foreach(name test_spool)
  add_unit_test(${name} SOURCES unit/spool_fixture.c USES spool LIBRARIES PkgConfig::EVENT PkgConfig::SQLITE)
  target_include_directories(${name} PRIVATE unit fakes)
endforeach()
