-- A group of requests. IMMEDIATE: whatever can refuse us does so now.
BEGIN IMMEDIATE
