BEGIN TRANSACTION;
CREATE TABLE agent_ltm_agents (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	CONSTRAINT uq_agent_ltm_agents_run_id_name UNIQUE (run_id, name), 
	CONSTRAINT fk_agent_ltm_agents_run_id FOREIGN KEY(run_id) REFERENCES agent_ltm_runs (id)
);
INSERT INTO "agent_ltm_agents" VALUES(1,1,'ant');
INSERT INTO "agent_ltm_agents" VALUES(2,1,'bee');
CREATE TABLE agent_ltm_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agent_ltm_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "agent_ltm_alembic_version" VALUES('0001');
CREATE TABLE agent_ltm_encoder_versions (
	id INTEGER NOT NULL, 
	name VARCHAR, 
	kind VARCHAR, 
	parent_id INTEGER, 
	status VARCHAR NOT NULL, 
	format SMALLINT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	tolerances JSON, 
	metrics JSON, 
	feature_schema BLOB, 
	dictionary BLOB, 
	weights BLOB, 
	CONSTRAINT pk_agent_ltm_encoder_versions PRIMARY KEY (id), 
	CONSTRAINT uq_agent_ltm_encoder_versions_name UNIQUE (name), 
	CONSTRAINT fk_agent_ltm_encoder_versions_parent_id FOREIGN KEY(parent_id) REFERENCES agent_ltm_encoder_versions (id)
);
CREATE TABLE agent_ltm_entries (
	id INTEGER NOT NULL, 
	run_ref INTEGER NOT NULL, 
	agent_ref INTEGER NOT NULL, 
	type_ref INTEGER NOT NULL, 
	compression_level SMALLINT NOT NULL, 
	step_number BIGINT NOT NULL, 
	timestamp DOUBLE NOT NULL, 
	importance_score DOUBLE NOT NULL, 
	retrieval_count BIGINT NOT NULL, 
	revision BIGINT NOT NULL, 
	encoder_version INTEGER, 
	embedding_coding SMALLINT NOT NULL, 
	creation_time DOUBLE, 
	last_access_time DOUBLE, 
	memory_id BLOB NOT NULL, 
	embedding BLOB, 
	contents BLOB NOT NULL, 
	attributes JSON, 
	error_bounds BLOB, 
	CONSTRAINT pk_agent_ltm_entries PRIMARY KEY (id), 
	CONSTRAINT uq_agent_ltm_entries_memory_id_run_ref UNIQUE (memory_id, run_ref), 
	CONSTRAINT fk_agent_ltm_entries_run_ref FOREIGN KEY(run_ref) REFERENCES agent_ltm_runs (id), 
	CONSTRAINT fk_agent_ltm_entries_agent_ref FOREIGN KEY(agent_ref) REFERENCES agent_ltm_agents (id), 
	CONSTRAINT fk_agent_ltm_entries_type_ref FOREIGN KEY(type_ref) REFERENCES agent_ltm_types (id), 
	CONSTRAINT fk_agent_ltm_entries_encoder_version FOREIGN KEY(encoder_version) REFERENCES agent_ltm_encoder_versions (id)
);
INSERT INTO "agent_ltm_entries" VALUES(1,1,1,1,2,0,1.79604007991880154603e+09,1.0,0,0,NULL,0,NULL,NULL,X'01A22C54BA2E700083DE2FCFD3114B32',NULL,X'82A26F66A3616E74A47374657000',NULL,NULL);
INSERT INTO "agent_ltm_entries" VALUES(2,1,1,1,2,1,1.79604007993860578535e+09,1.0,0,0,NULL,0,NULL,NULL,X'01A22C54BA427000864B5BCE13EB95DB',NULL,X'82A26F66A3616E74A47374657001',NULL,NULL);
INSERT INTO "agent_ltm_entries" VALUES(3,1,1,1,2,2,1.79604007994099736209e+09,1.0,0,0,NULL,0,NULL,NULL,X'01A22C54BA44700089622E49EBA661BF',NULL,X'82A26F66A3616E74A47374657002',NULL,NULL);
INSERT INTO "agent_ltm_entries" VALUES(4,1,1,1,2,3,1.79604007995080399515e+09,1.0,0,0,NULL,0,NULL,NULL,X'01A22C54BA4E70019559A02F9C8B5C5F',NULL,X'82A26F66A3616E74A47374657003',NULL,NULL);
CREATE TABLE agent_ltm_runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	parent_id INTEGER, 
	fork_step BIGINT, 
	seed VARCHAR, 
	status VARCHAR NOT NULL, 
	created_at DOUBLE NOT NULL, 
	CONSTRAINT uq_agent_ltm_runs_name UNIQUE (name), 
	CONSTRAINT fk_agent_ltm_runs_parent_id FOREIGN KEY(parent_id) REFERENCES agent_ltm_runs (id)
);
INSERT INTO "agent_ltm_runs" VALUES(1,'default',NULL,NULL,NULL,'running',1.79604008009471726413e+09);
CREATE TABLE agent_ltm_tombstones (
	run_ref INTEGER NOT NULL, 
	memory_id BLOB NOT NULL, 
	forgotten_at DOUBLE NOT NULL, 
	CONSTRAINT pk_agent_ltm_tombstones PRIMARY KEY (run_ref, memory_id), 
	CONSTRAINT fk_agent_ltm_tombstones_run_ref FOREIGN KEY(run_ref) REFERENCES agent_ltm_runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "agent_ltm_tombstones" VALUES(1,X'01A22C54BA507001B27F6AFBB327429C',1.79604008017927837376e+09);
INSERT INTO "agent_ltm_tombstones" VALUES(1,X'01A22C54BA5A700098B6CFEE9ACA015A',1.79604008017927837376e+09);
INSERT INTO "agent_ltm_tombstones" VALUES(1,X'01A22C54BA6A7000ACA67C982BC2543D',1.79604008017927837376e+09);
INSERT INTO "agent_ltm_tombstones" VALUES(1,X'01A22C54BA6C7000AD02E9817507B6AF',1.79604008017927837376e+09);
CREATE TABLE agent_ltm_types (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	CONSTRAINT uq_agent_ltm_types_name UNIQUE (name)
);
INSERT INTO "agent_ltm_types" VALUES(1,'state');
CREATE INDEX ix_agent_ltm_agents_name ON agent_ltm_agents (name);
CREATE INDEX ix_agent_ltm_entries_agent_ref_step_number ON agent_ltm_entries (agent_ref, step_number);
CREATE INDEX ix_agent_ltm_entries_agent_ref_timestamp ON agent_ltm_entries (agent_ref, timestamp);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('agent_ltm_runs',1);
INSERT INTO "sqlite_sequence" VALUES('agent_ltm_agents',2);
INSERT INTO "sqlite_sequence" VALUES('agent_ltm_types',1);
COMMIT;
