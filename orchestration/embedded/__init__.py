"""The stack that runs on a bare machine: Java, jars, five supervised servers, readiness."""
