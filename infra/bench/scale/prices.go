package main

// Prices of us-east-1 in US dollars, without free tiers and discounts, as they
// were known in this month. They are from price pages, not from a bill: check
// them before you rely on them.
const pricesOf = "November 2026"

// price is what some of a thing costs.
type price struct {
	name string
	usd  float64
	per  float64 // so many of the unit
	unit string
	page string // of aws.amazon.com
}

func (p price) of(n float64) float64 { return p.usd * n / p.per }

const (
	million = 1e6
	gib     = 1 << 30
	// hoursAMonth and daysAMonth are a twelfth of a year.
	hoursAMonth = 730
	daysAMonth  = 365.0 / 12
)

var (
	ddbWrite   = price{"DynamoDB, on demand: write units", 0.625, million, "million", "dynamodb/pricing/on-demand"}
	ddbRead    = price{"DynamoDB, on demand: read units", 0.125, million, "million", "dynamodb/pricing/on-demand"}
	ddbStorage = price{"DynamoDB: storage", 0.25, 1, "GB-month", "dynamodb/pricing/on-demand"}
	ddbBackup  = price{"DynamoDB: point-in-time recovery", 0.20, 1, "GB-month", "dynamodb/pricing/on-demand"}
	ddbStream  = price{"DynamoDB Streams: reads, but Lambda's", 0.02, 100_000, "100,000", "dynamodb/pricing/on-demand"}

	lambdaCall   = price{"Lambda: requests", 0.20, million, "million", "lambda/pricing"}
	lambdaSecond = price{"Lambda, arm64: GB-seconds", 0.0000133334, 1, "GB-second", "lambda/pricing"}
	apiCall      = price{"API Gateway, HTTP API: requests", 1.00, million, "million", "api-gateway/pricing"}

	fargateVCPU     = price{"Fargate, x86: vCPU", 0.04048, 1, "hour", "fargate/pricing"}
	fargateGB       = price{"Fargate, x86: memory", 0.004445, 1, "GB-hour", "fargate/pricing"}
	fargateDisk     = price{"Fargate: disk above 20 GB", 0.000111, 1, "GB-hour", "fargate/pricing"}
	fargateSpotVCPU = price{"Fargate Spot, x86: vCPU, as the market has it", 0.012144, 1, "hour", "fargate/pricing"}
	fargateSpotGB   = price{"Fargate Spot, x86: memory, as the market has it", 0.0013335, 1, "GB-hour", "fargate/pricing"}
	publicIPv4      = price{"Public IPv4 address", 0.005, 1, "hour", "vpc/pricing"}

	logsWritten = price{"CloudWatch Logs: written", 0.50, 1, "GB", "cloudwatch/pricing"}
	logsKept    = price{"CloudWatch Logs: kept, compressed", 0.03, 1, "GB-month", "cloudwatch/pricing"}
	alarm       = price{"CloudWatch: alarm", 0.10, 1, "month", "cloudwatch/pricing"}
	metric      = price{"CloudWatch: metric of one's own", 0.30, 1, "month", "cloudwatch/pricing"}
	dashboard   = price{"CloudWatch: dashboard", 3.00, 1, "month", "cloudwatch/pricing"}
	trace       = price{"X-Ray: traces", 5.00, million, "million", "xray/pricing"}

	s3Storage = price{"S3: storage", 0.023, 1, "GB-month", "s3/pricing"}
	s3Put     = price{"S3: PUT, POST, LIST", 0.005, 1_000, "1,000", "s3/pricing"}
	s3Get     = price{"S3: GET", 0.0004, 1_000, "1,000", "s3/pricing"}
	internet  = price{"Data to the internet", 0.09, 1, "GB", "ec2/pricing/on-demand"}

	secret      = price{"Secrets Manager: secret", 0.40, 1, "month", "secrets-manager/pricing"}
	customEvent = price{"EventBridge: events of one's own", 1.00, million, "million", "eventbridge/pricing"}
	pipeRequest = price{"EventBridge Pipes: requests", 0.40, million, "million", "eventbridge/pricing"}
	snsPublish  = price{"SNS: messages", 0.50, million, "million", "sns/pricing"}
	sqsRequest  = price{"SQS: requests", 0.40, million, "million", "sqs/pricing"}
	sesMail     = price{"SES: mails", 0.10, 1_000, "1,000", "ses/pricing"}
	ecrStorage  = price{"ECR: storage", 0.10, 1, "GB-month", "ecr/pricing"}
	cdnRequest  = price{"CloudFront: HTTPS requests", 0.0100, 10_000, "10,000", "cloudfront/pricing"}
	cdnOut      = price{"CloudFront: data to the internet", 0.085, 1, "GB", "cloudfront/pricing"}

	serverSmall  = price{"EC2 t4g.small (2 vCPU in bursts, 2 GB)", 0.0168, 1, "hour", "ec2/pricing/on-demand"}
	serverMedium = price{"EC2 t4g.medium (2 vCPU in bursts, 4 GB)", 0.0336, 1, "hour", "ec2/pricing/on-demand"}
	serverLarge  = price{"EC2 c7g.large (2 vCPU, 4 GB)", 0.0725, 1, "hour", "ec2/pricing/on-demand"}
	disk         = price{"EBS gp3", 0.08, 1, "GB-month", "ebs/pricing"}
	snapshot     = price{"EBS snapshots", 0.05, 1, "GB-month", "ebs/pricing"}
	database     = price{"RDS PostgreSQL db.t4g.small, one zone", 0.032, 1, "hour", "rds/postgresql/pricing"}
	databaseDisk = price{"RDS gp3", 0.115, 1, "GB-month", "rds/postgresql/pricing"}
)

var priceList = []price{
	ddbWrite, ddbRead, ddbStorage, ddbBackup, ddbStream, lambdaCall, lambdaSecond, apiCall,
	fargateVCPU, fargateGB, fargateDisk, fargateSpotVCPU, fargateSpotGB, publicIPv4,
	logsWritten, logsKept, alarm, metric, dashboard, trace, s3Storage, s3Put, s3Get, internet,
	secret, customEvent, pipeRequest, snsPublish, sqsRequest, sesMail, ecrStorage, cdnRequest, cdnOut,
	serverSmall, serverMedium, serverLarge, disk, snapshot, database, databaseDisk,
}
